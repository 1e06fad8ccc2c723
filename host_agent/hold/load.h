/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCHEDCP_LOAD_H
#define SCHEDCP_LOAD_H

#include "../../verifier_vm/guest/loader.h"

struct bpf_object *open_object(const char *path);
const char *wanted(int nr, char **words);	/* the value of the word `ops.use`, NULL for none */
bool configure(struct bpf_object *obj, const struct ops *ops, int nr, char **words);
bool attach_others(struct bpf_object *obj);
char *exit_words(struct bpf_object *obj);	/* NULL without memory */

/* counters.c: an event with what the policy counts */
void say_counters(struct bpf_object *obj);

#endif
