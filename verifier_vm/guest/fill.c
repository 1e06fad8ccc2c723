// SPDX-License-Identifier: Apache-2.0
/*
 * What every loader of upstream's fills before it loads (SCX_OPS_OPEN, RESIZE_ARRAY and UEI_SET_SIZE of tools/sched_ext, and
 * scx_utils): constants named after the kernel's enumerators, the number of CPUs, arrays that have one element for now, tables
 * without a size.
 * verifier_vm/object/filled.py knows the same, for the object stage.
 */
#include "loader.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DUMP_BYTES 32768	/* UEI_DUMP_DFL_LEN, which is the kernel's SCX_EXIT_DUMP_DFL_LEN */

struct constant {
	const char *name;
	uint64_t value;
};

static struct constant *constants;	/* every enumerator of the kernel, by name: an object may ask for sixty of them */
static size_t nr_constants;

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct constant *)a)->name, ((const struct constant *)b)->name);
}

static void read_constants(const struct btf *btf)
{
	int id, i, count = btf__type_cnt(btf);
	size_t room = 0;

	for (id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		for (i = 0; btf_is_any_enum(type) && i < btf_vlen(type); i++) {
			bool wide = btf_is_enum64(type);
			uint32_t at = wide ? btf_enum64(type)[i].name_off : btf_enum(type)[i].name_off;

			if (nr_constants == room) {
				struct constant *more = realloc(constants, (room = room ? 2 * room : 4096) * sizeof(*more));

				if (!more)
					return;
				constants = more;
			}
			constants[nr_constants++] = (struct constant){
				btf__name_by_offset(btf, at),
				wide ? btf_enum64_value(&btf_enum64(type)[i]) : (uint64_t)(int64_t)btf_enum(type)[i].val,
			};
		}
	}
	qsort(constants, nr_constants, sizeof(*constants), by_name);
}

bool kernel_constant(const char *name, uint64_t *value)
{
	static const struct btf *btf;
	const struct constant wanted = { .name = name }, *found;

	if (!btf && (btf = btf__load_vmlinux_btf()))
		read_constants(btf);
	found = constants ? bsearch(&wanted, constants, nr_constants, sizeof(*constants), by_name) : NULL;
	if (found)
		*value = found->value;
	return found;
}

/*
 * To resize a map changes the object's BTF, upon which libbpf (1.4) frees the bytes it was read from, and goes on to use the names
 * of the object's externs that lie there. So nothing is freed meanwhile (linked with --wrap=free): this process lives for one object.
 */
static bool keeps_all;
void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
	if (!keeps_all)
		__real_free(memory);
}

static int set_size(struct bpf_map *map, size_t size)
{
	int err;

	keeps_all = true;
	err = bpf_map__set_value_size(map, size);
	keeps_all = false;
	return err;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names))
		names++;
	return *names;
}

/* How many CPUs, if it is a variable of that name and nobody gave it a number yet (upstream: 1, for a tool that only reads). */
static bool cpus_meant(const char *name, uint64_t now, uint64_t *value)
{
	static const char *const possible[] = { "nr_cpu_ids", "nr_cpus", "num_cpus", "nr_possible_cpus", "num_possible_cpus",
						"nr_cpus_possible", NULL };
	static const char *const online[] = { "nr_online_cpus", "num_online_cpus", "nr_cpus_online", "nr_cpus_onln", NULL };

	if (now > 1)
		return false;
	if (is_one_of(name, possible))
		*value = libbpf_num_possible_cpus();
	else if (is_one_of(name, online))
		*value = sysconf(_SC_NPROCESSORS_ONLN);
	else
		return false;
	return true;
}

static void fill_variable(struct bpf_object *obj, const char *section, const char *name)
{
	uint64_t value = 0;
	struct place at;
	size_t size;
	char *data;

	if (!find_variable(obj, section, name, &at) || !(btf_is_int(at.type) || btf_is_any_enum(at.type)) ||
	    (at.size != 4 && at.size != 8) || !(data = bpf_map__initial_value(at.map, &size)))
		return;
	memcpy(&value, data + at.offset, at.size);
	if (!strncmp(name, "__", 2) && isupper((unsigned char)name[2]) ? kernel_constant(name + 2, &value)
								     : cpus_meant(name, value, &value))
		memcpy(data + at.offset, &value, at.size);
}

/* `X[1]` alone in its section `.data.X` is upstream's RESIZABLE_ARRAY: an element for each CPU, or a buffer for the dump. */
static void resize(struct bpf_object *obj, const struct ops *ops, const char *section, const char *name)
{
	const struct btf *btf = bpf_object__btf(obj);
	uint32_t count = libbpf_num_possible_cpus(), *dump_bytes = ops_field(obj, ops, "exit_dump_len");
	const struct btf_type *element;
	char length[128];
	struct place at, length_at;
	size_t size;
	char *data;

	if (!find_variable(obj, section, name, &at) || !btf_is_array(at.type) || btf_array(at.type)->nelems != 1)
		return;
	element = btf__type_by_id(btf, btf__resolve_type(btf, btf_array(at.type)->type));
	snprintf(length, sizeof(length), "%s_len", name);
	if (btf_is_int(element) && element->size == 1 && find_variable(obj, ".rodata", length, &length_at) &&
	    length_at.size == 4 && (data = bpf_map__initial_value(length_at.map, &size))) {
		count = dump_bytes && *dump_bytes ? *dump_bytes : DUMP_BYTES;
		memcpy(data + length_at.offset, &count, sizeof(count));
	}
	if (set_size(at.map, at.size * count))
		fprintf(stderr, "loader: '%s' cannot be given %u elements\n", name, count);
}

/* A table that says of no size is given one by its loader: room for each CPU. */
static void size_maps(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		switch (bpf_map__type(map)) {
		case BPF_MAP_TYPE_HASH: case BPF_MAP_TYPE_ARRAY: case BPF_MAP_TYPE_PERCPU_HASH: case BPF_MAP_TYPE_PERCPU_ARRAY:
		case BPF_MAP_TYPE_LRU_HASH: case BPF_MAP_TYPE_LRU_PERCPU_HASH: case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		case BPF_MAP_TYPE_HASH_OF_MAPS: case BPF_MAP_TYPE_QUEUE: case BPF_MAP_TYPE_STACK:
			if (!bpf_map__max_entries(map))
				bpf_map__set_max_entries(map, libbpf_num_possible_cpus());
			break;
		default:
			break;
		}
	}
}

/* "X" of the section ".data.X" whose only variable is X; NULL for any other section. */
static const char *alone_in(const struct btf *btf, const struct btf_type *sec, const char *section)
{
	const char *inner = section[0] == '.' ? strchr(section + 1, '.') : NULL;
	const struct btf_type *var;

	if (!inner || btf_vlen(sec) != 1)
		return NULL;
	var = btf__type_by_id(btf, btf_var_secinfos(sec)[0].type);
	return strcmp(btf__name_by_offset(btf, var->name_off), inner + 1) ? NULL : inner + 1;
}

static void fill_section(struct bpf_object *obj, const struct ops *ops, int id)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_type *sec = btf__type_by_id(btf, id);
	const char *section = btf__name_by_offset(btf, sec->name_off), *alone = alone_in(btf, sec, section);
	char copy[256];
	int i;

	for (i = 0; i < btf_vlen(sec) && !strncmp(section, ".rodata", 7); i++) {
		const struct btf_type *var = btf__type_by_id(btf, btf_var_secinfos(sec)[i].type);

		fill_variable(obj, section, btf__name_by_offset(btf, var->name_off));
	}
	if (alone && strlen(section) < sizeof(copy)) {
		strcpy(copy, section);	/* names lie in the BTF, which is about to move */
		resize(obj, ops, copy, copy + (alone - section));
	}
}

void fill_as_loaders_do(struct bpf_object *obj, const struct ops *ops)
{
	int id, count = btf__type_cnt(bpf_object__btf(obj));	/* what resizing adds comes after these */

	size_maps(obj);
	for (id = 1; id < count; id++)
		if (btf_is_datasec(btf__type_by_id(bpf_object__btf(obj), id)))
			fill_section(obj, ops, id);
}
