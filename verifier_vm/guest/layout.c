// SPDX-License-Identifier: Apache-2.0
/*
 * Where the kernel's JIT put the policy's programs, as one line of JSON: for each its functions (address, length), its code
 * in hex, and which source line each address comes from. Read by verifier_vm/coverage on the host, from there it is checked.
 */
#include "loader.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FUNCTIONS 1024u
#define MOST_LINES 65536u
#define MOST_CODE (1u << 20)
#define MOST_FILES 256

static uint32_t files[MOST_FILES];	/* offsets of their names in the object's BTF */
static int nr_files;

struct layout {
	struct bpf_prog_info info;
	uint64_t *addresses, *line_addresses;
	uint32_t *lengths;
	struct bpf_line_info *lines;
	unsigned char *code;
};

/* Asked twice: for how much there is, then for it. False where the kernel tells less than all of it, or it is too much. */
static bool read_layout(int fd, struct layout *l)
{
	struct bpf_prog_info sizes = {};
	uint32_t len = sizeof(sizes);

	if (bpf_obj_get_info_by_fd(fd, &sizes, &len))
		return false;
	if (!sizes.nr_jited_ksyms || sizes.nr_jited_ksyms != sizes.nr_jited_func_lens || sizes.nr_jited_ksyms > MOST_FUNCTIONS ||
	    sizes.nr_line_info != sizes.nr_jited_line_info || sizes.nr_line_info > MOST_LINES ||
	    !sizes.jited_prog_len || sizes.jited_prog_len > MOST_CODE ||
	    (sizes.nr_line_info && (sizes.line_info_rec_size != sizeof(*l->lines) || sizes.jited_line_info_rec_size != 8)))
		return false;
	l->addresses = calloc(sizes.nr_jited_ksyms, sizeof(*l->addresses));
	l->lengths = calloc(sizes.nr_jited_ksyms, sizeof(*l->lengths));
	l->lines = calloc(sizes.nr_line_info + 1, sizeof(*l->lines));
	l->line_addresses = calloc(sizes.nr_line_info + 1, sizeof(*l->line_addresses));
	l->code = calloc(sizes.jited_prog_len, 1);
	if (!l->addresses || !l->lengths || !l->lines || !l->line_addresses || !l->code)
		return false;
	l->info = (struct bpf_prog_info){
		.nr_jited_ksyms = sizes.nr_jited_ksyms, .jited_ksyms = (uintptr_t)l->addresses,
		.nr_jited_func_lens = sizes.nr_jited_func_lens, .jited_func_lens = (uintptr_t)l->lengths,
		.nr_line_info = sizes.nr_line_info, .line_info = (uintptr_t)l->lines,
		.line_info_rec_size = sizeof(*l->lines),
		.nr_jited_line_info = sizes.nr_jited_line_info, .jited_line_info = (uintptr_t)l->line_addresses,
		.jited_line_info_rec_size = 8,
		.jited_prog_len = sizes.jited_prog_len, .jited_prog_insns = (uintptr_t)l->code,
	};
	len = sizeof(l->info);
	return !bpf_obj_get_info_by_fd(fd, &l->info, &len) && l->info.nr_jited_ksyms == sizes.nr_jited_ksyms &&
	       l->info.nr_line_info == sizes.nr_line_info && l->info.nr_jited_line_info == sizes.nr_line_info &&
	       l->info.jited_prog_len == sizes.jited_prog_len && l->info.jited_prog_insns;
}

static int file_index(uint32_t name_off)
{
	int i = 0;

	while (i < nr_files && files[i] != name_off)
		i++;
	if (i == nr_files && nr_files < MOST_FILES)
		files[nr_files++] = name_off;
	return i < MOST_FILES ? i : -1;
}

static void print_text(const char *text)
{
	putchar('"');
	for (; text && *text; text++)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if (*text >= ' ' && *text < 0x7f)
			putchar(*text);
		else
			putchar('?');
	putchar('"');
}

static void print_program(const char *name, const struct layout *l)
{
	const struct bpf_prog_info *info = &l->info;

	printf("{\"name\":");
	print_text(name);
	printf(",\"functions\":[");
	for (uint32_t i = 0; i < info->nr_jited_ksyms; i++)
		printf("%s[%llu,%u]", i ? "," : "", (unsigned long long)l->addresses[i], l->lengths[i]);
	printf("],\"lines\":[");
	for (uint32_t i = 0; i < info->nr_line_info; i++)
		printf("%s[%llu,%d,%u,%u]", i ? "," : "", (unsigned long long)l->line_addresses[i],
		       file_index(l->lines[i].file_name_off), BPF_LINE_INFO_LINE_NUM(l->lines[i].line_col),
		       BPF_LINE_INFO_LINE_COL(l->lines[i].line_col));
	printf("],\"code\":\"");
	for (uint32_t i = 0; i < info->jited_prog_len; i++) {
		putchar("0123456789abcdef"[l->code[i] >> 4]);
		putchar("0123456789abcdef"[l->code[i] & 15]);
	}
	printf("\"}");
}

void tell_layout(struct bpf_object *obj)
{
	struct bpf_program *program;
	const char *missing = NULL;
	bool more = false;

	nr_files = 0;
	printf("{\"programs\":[");
	bpf_object__for_each_program(program, obj) {
		struct layout l = {};
		int fd = bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS ? bpf_program__fd(program) : -1;

		if (fd >= 0 && read_layout(fd, &l)) {
			printf(more ? "," : "");
			print_program(bpf_program__name(program), &l);
			more = true;
		} else if (fd >= 0) {
			missing = bpf_program__name(program);
		}
		free(l.addresses);
		free(l.lengths);
		free(l.lines);
		free(l.line_addresses);
		free(l.code);
	}
	printf("],\"files\":[");
	for (int i = 0; i < nr_files; i++) {
		printf(i ? "," : "");
		print_text(btf__str_by_offset(bpf_object__btf(obj), files[i]));
	}
	printf("],\"missing\":");
	print_text(missing);
	printf("}\n");
	fflush(stdout);
}
