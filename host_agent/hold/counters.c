// SPDX-License-Identifier: Apache-2.0
/*
 * The policy's own counters: variables of 64 bits in .bss and .data whose names begin with nr_, as sched_ext's own
 * schedulers call theirs. Their names are those of the object's BTF; a stranger chose them, so only plain ones are told.
 */
#include "hold.h"
#include "load.h"

#include <bpf/btf.h>
#include <stdio.h>
#include <string.h>

#define MOST 32
#define LONGEST 48

static char value[64 << 10];	/* of a section; locked with the rest, so that reading it waits for no page */

static bool is_plain(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return !strncmp(name, "nr_", 3) && !name[len] && len <= LONGEST;
}

static int add_section(struct bpf_object *obj, const char *section, char *into, size_t size, int told)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf ? btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) : -1, zero = 0;
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, id) : NULL;
	struct bpf_map *map = type ? bpf_object__find_map_by_name(obj, section) : NULL;

	if (!map || bpf_map__value_size(map) > sizeof(value) || bpf_map__fd(map) < 0 ||
	    bpf_map_lookup_elem(bpf_map__fd(map), &zero, value))
		return told;
	for (int i = 0; i < btf_vlen(type) && told < MOST; i++) {
		const struct btf_var_secinfo *at = btf_var_secinfos(type) + i;
		const struct btf_type *var = btf__type_by_id(btf, at->type), *of;
		const char *name = btf__name_by_offset(btf, var->name_off);
		uint64_t count;

		of = btf__type_by_id(btf, btf__resolve_type(btf, var->type));
		if (!is_plain(name) || !of || !btf_is_int(of) || of->size != sizeof(count) ||
		    at->offset + sizeof(count) > bpf_map__value_size(map))
			continue;
		memcpy(&count, value + at->offset, sizeof(count));
		snprintf(into + strlen(into), size - strlen(into), "%s\"%s\":%llu", told ? "," : "", name,
			 (unsigned long long)count);
		told++;
	}
	return told;
}

void say_counters(struct bpf_object *obj)
{
	char text[MOST * (LONGEST + 24) + 1] = "";

	add_section(obj, ".data", text, sizeof(text), add_section(obj, ".bss", text, sizeof(text), 0));
	say("{\"event\":\"counters\",\"values\":{%s}}", text);
}
