/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the loader share: finding variables of an object by their BTF, setting and reading them. */
#ifndef SCHEDCP_LOADER_H
#define SCHEDCP_LOADER_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place {	/* of a global variable of the object */
	struct bpf_map *map;
	size_t offset, size;
	const struct btf_type *type;
};

/* The struct_ops that is the policy, and its type by id: to resize a map moves the object's BTF, and pointers into it dangle. */
struct ops {
	struct bpf_map *map;
	int type_id;
};

/* knobs.c */
bool find_variable(struct bpf_object *obj, const char *section, const char *name, struct place *place);
bool set_knob(struct bpf_object *obj, const char *name, char *value);

/* ops.c */
const struct btf_type *ops_type(struct bpf_object *obj, const struct ops *ops);
bool find_ops(struct bpf_object *obj, const char *wanted, struct ops *ops);
void *ops_field(struct bpf_object *obj, const struct ops *ops, const char *name);	/* in the data that will be loaded */
bool set_ops_word(struct bpf_object *obj, const struct ops *ops, const char *name, char *value);

/* fill.c */
bool kernel_constant(const char *name, uint64_t *value);	/* an enumerator of the running kernel */
void fill_as_loaders_do(struct bpf_object *obj, const struct ops *ops);

/* record.c */
void tell_what_it_has(struct bpf_object *obj, const struct ops *ops);
void tell_exit(struct bpf_object *obj);

/* layout.c */
#define ASK_LAYOUT 'l'	/* what init writes to the loader's input; it answers with a line */
void tell_layout(struct bpf_object *obj);

#endif
