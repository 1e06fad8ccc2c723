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

/* Where `name` lies in the data of the map whose section ends in `section`, and of what type it is; NULL if nowhere. */
static void *variable(struct bpf_object *obj, const char *section, const char *name, const struct btf_type **type, size_t *size)
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
		*type = btf__type_by_id(btf, btf__resolve_type(btf, var->type));
		*size = info->size;
		bpf_object__for_each_map(map, obj) {
			const char *map_name = bpf_map__name(map);
			size_t map_size, len = strlen(map_name), tail = strlen(section);
			char *data = bpf_map__initial_value(map, &map_size);

			if (data && len >= tail && !strcmp(map_name + len - tail, section) && info->offset + info->size <= map_size)
				return data + info->offset;
		}
	}
	return NULL;
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
	const struct btf_type *type;
	size_t size;
	void *at = variable(obj, ".rodata", name, &type, &size);

	if (!at) {
		fprintf(stderr, "loader: the object has no knob '%s'\n", name);
		return false;
	}
	if (!set_value(bpf_object__btf(obj), type, at, size, value)) {
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

static void tell_exit(struct bpf_object *obj)
{
	const struct btf_type *type;
	struct exit_record none = {}, *record = NULL;
	size_t size;
	char *c;

	record = variable(obj, ".bss", "sx_exit", &type, &size);
	if (!record || size != sizeof(none))
		record = variable(obj, ".data", "sx_exit", &type, &size);
	if (record && size == sizeof(none))
		none = *record;
	none.reason[sizeof(none.reason) - 1] = none.msg[sizeof(none.msg) - 1] = '\0';
	for (c = none.reason; *c; c++)
		*c = *c == '\t' || *c == '\n' ? ' ' : *c;
	for (c = none.msg; *c; c++)
		*c = *c == '\t' || *c == '\n' ? ' ' : *c;
	printf("exit\t%d\t%lld\t%s\t%s\n", record ? none.kind : -1, (long long)none.code, none.reason, none.msg);
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
