// SPDX-License-Identifier: Apache-2.0
/*
 * loader OBJECT [KNOB=VALUE…] [ops.timeout_ms=N]: loads a sched_ext object, attaches it, holds it until its input closes.
 *
 * Answers on stdout, one line each: "PHASE\tOPS" (open, load, attach: where it failed; attached), and after the input closed
 * "exit\tKIND\tCODE\tREASON\tMESSAGE" from the policy's own `sx_exit`. libbpf's and the verifier's words go to stderr.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct exit_record {	/* struct sx_exit_record of bpf/include */
	int32_t kind, exit_cpu;
	int64_t code;
	char reason[128], msg[1024];
};

static int answer(const char *phase, const char *ops)
{
	printf("%s\t%s\n", phase, ops);
	fflush(stdout);
	return strcmp(phase, "attached") ? 1 : 0;
}

struct place {	/* of a global variable of the object */
	struct bpf_map *map;
	size_t offset, size;
	const struct btf_type *type;
};

/* Finds the variable `name` of `section`; false if the object has none. */
static bool find_variable(struct bpf_object *obj, const char *section, const char *name, struct place *place)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf ? btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) : -1;
	const struct btf_type *sec = id > 0 ? btf__type_by_id(btf, id) : NULL;
	struct bpf_map *map;
	int i;

	for (i = 0; sec && i < btf_vlen(sec); i++) {
		const struct btf_var_secinfo *info = btf_var_secinfos(sec) + i;
		const struct btf_type *var = btf__type_by_id(btf, info->type);

		if (strcmp(btf__name_by_offset(btf, var->name_off), name))
			continue;
		bpf_object__for_each_map(map, obj) {
			const char *map_name = bpf_map__name(map);
			size_t len = strlen(map_name), tail = strlen(section);

			if (len < tail || strcmp(map_name + len - tail, section) ||
			    info->offset + info->size > bpf_map__value_size(map))
				continue;
			*place = (struct place){ map, info->offset, info->size,
						 btf__type_by_id(btf, btf__resolve_type(btf, var->type)) };
			return true;
		}
	}
	return false;
}

static bool set_scalar(void *at, size_t size, const char *text)
{
	bool negative = text[0] == '-';
	char *end;
	uint64_t value;

	errno = 0;
	value = negative ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
	if (*end || end == text || errno || (size != 1 && size != 2 && size != 4 && size != 8))
		return false;
	memcpy(at, &value, size);	/* little-endian, like every guest of ours */
	return true;
}

static bool set_value(const struct btf *btf, const struct btf_type *type, void *at, size_t size, char *text);

/* "a,b,c" into an array, element by element; the rest stays as it was compiled. */
static bool set_list(const struct btf *btf, const struct btf_array *array, const struct btf_type *element, char *at, size_t size, char *text)
{
	size_t each = size / array->nelems;
	char *item;
	uint32_t i;

	for (i = 0; (item = strsep(&text, ",")); i++)
		if (i == array->nelems || !set_value(btf, element, at + i * each, each, item))
			return false;
	return true;
}

static bool set_value(const struct btf *btf, const struct btf_type *type, void *at, size_t size, char *text)
{
	if (btf_is_array(type)) {
		const struct btf_array *array = btf_array(type);
		const struct btf_type *element = btf__type_by_id(btf, btf__resolve_type(btf, array->type));

		if (!array->nelems)
			return false;
		if (btf_is_int(element) && size == array->nelems) {	/* char[N]: a string */
			if (strlen(text) >= size)
				return false;
			memset(at, 0, size);
			memcpy(at, text, strlen(text));
			return true;
		}
		return set_list(btf, array, element, at, size, text);
	}
	if (btf_is_int(type) || btf_is_any_enum(type))
		return set_scalar(at, size, !strcmp(text, "true") ? "1" : !strcmp(text, "false") ? "0" : text);
	return false;
}

static bool set_knob(struct bpf_object *obj, const char *name, char *value)
{
	struct place knob;
	size_t size;	/* libbpf 1.4 writes it without asking */
	char *data;

	if (!find_variable(obj, ".rodata", name, &knob) || !(data = bpf_map__initial_value(knob.map, &size))) {
		fprintf(stderr, "loader: the object has no knob '%s'\n", name);
		return false;
	}
	if (!set_value(bpf_object__btf(obj), knob.type, data + knob.offset, knob.size, value)) {
		fprintf(stderr, "loader: '%s' does not fit knob '%s'\n", value, name);
		return false;
	}
	return true;
}

static struct bpf_map *find_ops(struct bpf_object *obj)
{
	struct bpf_map *map, *found = NULL;

	bpf_object__for_each_map(map, obj) {
		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		if (found) {
			fprintf(stderr, "loader: more than one struct_ops in the object\n");
			return NULL;
		}
		found = map;
	}
	if (!found)
		fprintf(stderr, "loader: no struct_ops in the object: it is no sched_ext policy\n");
	return found;
}

/* A field of the object's struct sched_ext_ops, in the data that will be loaded. */
static void *ops_field(struct bpf_object *obj, struct bpf_map *ops, const char *name)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf__find_by_name_kind(btf, "sched_ext_ops", BTF_KIND_STRUCT);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, id) : NULL;
	char *data = bpf_map__initial_value(ops, NULL);
	int i;

	for (i = 0; data && type && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), name))
			return data + btf_member_bit_offset(type, i) / 8;
	return NULL;
}

/* Only ever lowered: a policy that promises a shorter one keeps its promise. */
static bool lower_timeout(struct bpf_object *obj, struct bpf_map *ops, const char *value)
{
	uint32_t *timeout_ms = ops_field(obj, ops, "timeout_ms"), limit = strtoul(value, NULL, 10);

	if (!timeout_ms)
		return false;
	if (!*timeout_ms || *timeout_ms > limit)
		*timeout_ms = limit;
	return true;
}

static bool configure(struct bpf_object *obj, struct bpf_map *ops, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		char *value = argv[i], *name = strsep(&value, "=");

		if (!value) {
			fprintf(stderr, "loader: '%s' is not KNOB=VALUE\n", name);
			return false;
		}
		if (strcmp(name, "ops.timeout_ms") ? !set_knob(obj, name, value) : !lower_timeout(obj, ops, value))
			return false;
	}
	return true;
}

/* The record as the kernel side wrote it. libbpf's own view of the section is the image from before the load. */
static bool read_exit_record(struct bpf_object *obj, struct exit_record *record)
{
	static char section[65536];
	uint32_t key = 0;
	struct place at;

	if (!find_variable(obj, ".bss", "sx_exit", &at) && !find_variable(obj, ".data", "sx_exit", &at))
		return false;
	if (at.size != sizeof(*record) || bpf_map__value_size(at.map) > sizeof(section) ||
	    bpf_map__lookup_elem(at.map, &key, sizeof(key), section, bpf_map__value_size(at.map), 0))
		return false;
	memcpy(record, section + at.offset, sizeof(*record));
	return true;
}

static void print_field(const char *text, size_t size)
{
	putchar('\t');
	for (size_t i = 0; i < size && text[i]; i++)
		putchar(text[i] == '\t' || text[i] == '\n' ? ' ' : text[i]);
}

static void tell_exit(struct bpf_object *obj)
{
	struct exit_record record = { .kind = -1 };

	if (!read_exit_record(obj, &record))
		record.kind = -1;
	printf("exit\t%d\t%lld", record.kind, (long long)record.code);
	print_field(record.reason, sizeof(record.reason));
	print_field(record.msg, sizeof(record.msg));
	putchar('\n');
	fflush(stdout);
}

static void wait_for_disabled(void)
{
	char state[16] = "";
	int tries;

	for (tries = 0; tries < 1000 && strncmp(state, "disabled", 8); tries++) {
		FILE *f = fopen("/sys/kernel/sched_ext/state", "re");

		if (!f || !fgets(state, sizeof(state), f))
			state[0] = '\0';
		if (f)
			fclose(f);
		usleep(2000);
	}
}

int main(int argc, char **argv)
{
	struct sched_param fifo = { .sched_priority = 50 };
	struct bpf_object *obj;
	struct bpf_map *ops;
	struct bpf_link *link;
	const char *name;
	char byte;

	/* A policy that starves everything must not starve its own removal. */
	sched_setscheduler(0, SCHED_FIFO, &fifo);
	obj = argc > 1 ? bpf_object__open_file(argv[1], NULL) : NULL;
	if (!obj)
		return answer("open", "");
	ops = find_ops(obj);
	if (!ops || !configure(obj, ops, argc - 2, argv + 2))
		return answer("open", "");
	name = ops_field(obj, ops, "name");
	if (!name || !memchr(name, '\0', 128) || bpf_object__load(obj))
		return answer("load", "");
	name = ops_field(obj, ops, "name");
	link = bpf_map__attach_struct_ops(ops);
	if (!link) {
		fprintf(stderr, "loader: cannot attach: %s\n", strerror(errno));
		return answer("attach", name ? name : "");
	}
	answer("attached", name);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	bpf_link__destroy(link);
	wait_for_disabled();
	tell_exit(obj);
	return 0;
}
