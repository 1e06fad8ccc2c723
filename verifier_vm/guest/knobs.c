// SPDX-License-Identifier: Apache-2.0
/* A policy's global variables, found by BTF and set before it is loaded. */
#include "loader.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Finds the variable `name` of `section`; false if the object has none. */
bool find_variable(struct bpf_object *obj, const char *section, const char *name, struct place *place)
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
		if (btf_is_int(element) && !strcmp(btf__name_by_offset(btf, element->name_off), "char")) {	/* a string */
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

/* A constant of that name in .rodata or one of the .rodata.NAME. */
static bool find_constant(struct bpf_object *obj, const char *name, struct place *place)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id, count = btf ? btf__type_cnt(btf) : 0;

	for (id = 1; id < count; id++) {
		const struct btf_type *sec = btf__type_by_id(btf, id);
		const char *section = btf__name_by_offset(btf, sec->name_off);

		if (btf_is_datasec(sec) && !strncmp(section, ".rodata", 7) && find_variable(obj, section, name, place))
			return true;
	}
	return false;
}

bool set_knob(struct bpf_object *obj, const char *name, char *value)
{
	struct place knob;
	size_t size;	/* libbpf 1.4 writes it without asking */
	char *data;

	if (!find_constant(obj, name, &knob) || !(data = bpf_map__initial_value(knob.map, &size))) {
		fprintf(stderr, "loader: the object has no knob '%s'\n", name);
		return false;
	}
	if (!set_value(bpf_object__btf(obj), knob.type, data + knob.offset, knob.size, value)) {
		fprintf(stderr, "loader: '%s' does not fit knob '%s'\n", value, name);
		return false;
	}
	return true;
}
