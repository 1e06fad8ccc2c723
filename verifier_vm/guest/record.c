// SPDX-License-Identifier: Apache-2.0
/* What the loader tells of a policy: what is in its table, and the record that it left when it ended. */
#include "loader.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exit_record {
	int32_t kind;
	int64_t code;
	char reason[128], msg[1024];
};

/* One member of the record into `into`; false if it has none of that name, or one of another size than it should have. */
static bool take_member(const struct btf *btf, const struct place *at, const char *name, void *into, size_t size, bool text)
{
	static char *section;	/* the last one read: a policy's own globals may be megabytes beside the record */
	static size_t size_read;
	size_t section_size = bpf_map__value_size(at->map);
	uint32_t key = 0;
	int i;

	if (section_size != size_read) {
		free(section);
		section = malloc(section_size);
		size_read = section ? section_size : 0;
	}
	if (!btf_is_struct(at->type) || !section ||
	    bpf_map__lookup_elem(at->map, &key, sizeof(key), section, section_size, 0))
		return false;
	for (i = 0; i < btf_vlen(at->type); i++) {
		const struct btf_member *member = btf_members(at->type) + i;
		size_t offset = btf_member_bit_offset(at->type, i) / 8;
		long long length = btf__resolve_size(btf, member->type);

		if (strcmp(btf__name_by_offset(btf, member->name_off), name))
			continue;
		if (length <= 0 || offset + length > at->size || (!text && (size_t)length != size))
			return false;
		memcpy(into, section + at->offset + offset, (size_t)length < size ? (size_t)length : size);
		return true;
	}
	return false;
}

/*
 * The record as the kernel side wrote it (libbpf's own view of the section is the image from before the load): our header's
 * `sx_exit`, or `uei`, which is what scx's own macros call it.
 */
static bool read_exit_record(struct bpf_object *obj, struct exit_record *record)
{
	static const char *const names[] = { "sx_exit", "uei" }, *const sections[] = { ".bss", ".data" };
	const struct btf *btf = bpf_object__btf(obj);

	for (int i = 0; i < 4; i++) {
		struct place at;

		if (!find_variable(obj, sections[i % 2], names[i / 2], &at) ||
		    !take_member(btf, &at, "kind", &record->kind, sizeof(record->kind), false))
			continue;
		if (!take_member(btf, &at, "code", &record->code, sizeof(record->code), false))
			take_member(btf, &at, "exit_code", &record->code, sizeof(record->code), false);
		take_member(btf, &at, "reason", record->reason, sizeof(record->reason), true);
		take_member(btf, &at, "msg", record->msg, sizeof(record->msg), true);
		return true;
	}
	return false;
}

static void print_field(const char *text, size_t size)
{
	putchar('\t');
	for (size_t i = 0; i < size && text[i]; i++)
		putchar(text[i] == '\t' || text[i] == '\n' ? ' ' : text[i]);
}

void tell_exit(struct bpf_object *obj)
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

/* A callback is a member that points to a program: libbpf keeps the pointers in the data that it shows. */
void tell_what_it_has(struct bpf_object *obj, const struct ops *ops)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_type *type = ops_type(obj, ops);
	char *data = bpf_map__initial_value(ops->map, NULL);
	struct bpf_map *map;
	uint64_t *flags;
	int i;

	fprintf(stderr, "has:");
	for (i = 0; data && i < btf_vlen(type); i++) {
		const struct btf_member *member = btf_members(type) + i;
		void *program;

		memcpy(&program, data + btf_member_bit_offset(type, i) / 8, sizeof(program));
		if (btf_is_ptr(btf__type_by_id(btf, btf__resolve_type(btf, member->type))) && program)
			fprintf(stderr, " %s", btf__name_by_offset(btf, member->name_off));
	}
	bpf_object__for_each_map(map, obj) {
		enum bpf_map_type kind = bpf_map__type(map);

		if (kind == BPF_MAP_TYPE_USER_RINGBUF || kind == BPF_MAP_TYPE_RINGBUF)
			fprintf(stderr, " map:%s", bpf_map__name(map));
	}
	if ((flags = ops_field(obj, ops, "flags")))
		fprintf(stderr, " flags:%llx", (unsigned long long)*flags);
	fprintf(stderr, "\n");
}
