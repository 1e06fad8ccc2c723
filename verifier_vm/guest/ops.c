// SPDX-License-Identifier: Apache-2.0
/* Which struct_ops of an object is the policy, its fields in the data that will be loaded, and what words make of them. */
#include "loader.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The type's id of the variable that a struct_ops map was made from, without const and the like; 0 if it is in no BTF. */
static int type_of(const struct btf *btf, const char *variable)
{
	int id, count = btf__type_cnt(btf);

	for (id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (btf_is_var(type) && !strcmp(btf__name_by_offset(btf, type->name_off), variable))
			return btf__resolve_type(btf, type->type);
	}
	return 0;
}

const struct btf_type *ops_type(struct bpf_object *obj, const struct ops *ops)
{
	return btf__type_by_id(bpf_object__btf(obj), ops->type_id);
}

/* sched_ext_ops in one of its forms; what follows "___" is the object's own name for a form of another kernel. */
static bool is_sched_ext(const char *name)
{
	const char *suffix = strstr(name, "___");
	size_t len = suffix ? (size_t)(suffix - name) : strlen(name);

	return (len == 13 && !strncmp(name, "sched_ext_ops", len)) || (len == 17 && !strncmp(name, "sched_ext_ops_cid", len));
}

static void complain(int found, const char *wanted, const char *names, const char *other)
{
	if (wanted)
		fprintf(stderr, "loader: no sched_ext policy '%s' in the object; it has:%s\n", wanted, *names ? names : " none");
	else if (found)
		fprintf(stderr, "loader: more than one sched_ext policy in the object:%s\n", names);
	else if (other)
		fprintf(stderr, "loader: the object's struct_ops is a %s, not a sched_ext_ops: it is no sched_ext policy\n", other);
	else
		fprintf(stderr, "loader: no struct_ops in the object: it is no sched_ext policy\n");
}

/* The policy `wanted` of the object, or the only one; all other struct_ops of the object are left out of the load. */
bool find_ops(struct bpf_object *obj, const char *wanted, struct ops *ops)
{
	const struct btf *btf = bpf_object__btf(obj);
	const char *other = NULL;
	char names[512] = "";
	struct bpf_map *map;
	int found = 0, chosen = 0;

	bpf_object__for_each_map(map, obj) {
		const char *kind = "?";
		int type_id;

		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		type_id = btf ? type_of(btf, bpf_map__name(map)) : 0;
		if (type_id > 0)
			kind = btf__name_by_offset(btf, btf__type_by_id(btf, type_id)->name_off);
		bpf_map__set_autocreate(map, false);
		if (!is_sched_ext(kind)) {
			other = kind;
			continue;
		}
		found++;
		snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s", bpf_map__name(map));
		if (wanted && strcmp(bpf_map__name(map), wanted))
			continue;
		chosen++;
		*ops = (struct ops){ map, type_id };
	}
	if (chosen != 1) {
		complain(found, wanted, names, other);
		return false;
	}
	return !bpf_map__set_autocreate(ops->map, true);
}

void *ops_field(struct bpf_object *obj, const struct ops *ops, const char *name)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_type *type = ops_type(obj, ops);
	char *data = bpf_map__initial_value(ops->map, NULL);
	int i;

	for (i = 0; data && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), name))
			return data + btf_member_bit_offset(type, i) / 8;
	return NULL;
}

/* Only ever lowered: a policy that promises a shorter one keeps its promise. */
static bool lower_timeout(struct bpf_object *obj, const struct ops *ops, const char *value)
{
	uint32_t *timeout_ms = ops_field(obj, ops, "timeout_ms"), limit = strtoul(value, NULL, 10);

	if (!timeout_ms)
		return false;
	if (!*timeout_ms || *timeout_ms > limit)
		*timeout_ms = limit;
	return true;
}

/* "FLAG,FLAG": names, since some of their bits differ from kernel to kernel. */
static bool add_flags(struct bpf_object *obj, const struct ops *ops, char *names)
{
	uint64_t *flags = ops_field(obj, ops, "flags"), bit;
	char *name;

	while ((name = strsep(&names, ","))) {
		if (!flags || !kernel_constant(name, &bit)) {
			fprintf(stderr, "loader: this kernel has no flag '%s'\n", name);
			return false;
		}
		*flags |= bit;
	}
	return true;
}

bool set_ops_word(struct bpf_object *obj, const struct ops *ops, const char *name, char *value)
{
	if (!strcmp(name, "ops.timeout_ms"))
		return lower_timeout(obj, ops, value);
	if (!strcmp(name, "ops.flag"))
		return add_flags(obj, ops, value);
	if (!strcmp(name, "ops.use"))	/* find_ops has honoured it */
		return true;
	fprintf(stderr, "loader: '%s' is no field of the ops that can be set\n", name);
	return false;
}
