// SPDX-License-Identifier: Apache-2.0
/* An object opened from memory, made ready as the guest's loader does it, and what it left when it ended. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES (16u << 20)

struct bpf_object *open_object(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct bpf_object *obj = NULL;
	struct stat st;
	void *image;

	if (fd < 0 || fstat(fd, &st) || st.st_size <= 0 || st.st_size > MOST_BYTES || !(image = malloc(st.st_size)))
		return NULL;
	if (read(fd, image, st.st_size) == st.st_size)
		obj = bpf_object__open_mem(image, st.st_size, NULL);
	close(fd);
	return obj;	/* the image is libbpf's until the object is closed, with this process */
}

const char *wanted(int nr, char **words)
{
	for (int i = 0; i < nr; i++)
		if (!strncmp(words[i], "ops.use=", 8))
			return words[i] + 8;
	return NULL;
}

bool configure(struct bpf_object *obj, const struct ops *ops, int nr, char **words)
{
	for (int i = 0; i < nr; i++) {
		char *value = words[i], *name = strsep(&value, "=");

		if (!value) {
			fprintf(stderr, "schedcp-hold: '%s' is not NAME=VALUE\n", name);
			return false;
		}
		if (strncmp(name, "ops.", 4) ? !set_knob(obj, name, value) : !set_ops_word(obj, ops, name, value))
			return false;
	}
	return true;
}

/* Programs beside the ops, as in the guest's loader; their links end with this process, too. */
bool attach_others(struct bpf_object *obj)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, obj) {
		if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS || !bpf_program__autoload(program) ||
		    !bpf_program__autoattach(program) || bpf_program__attach(program) || errno == EOPNOTSUPP)
			continue;
		fprintf(stderr, "schedcp-hold: cannot attach %s: %s\n", bpf_program__name(program), strerror(errno));
		return false;
	}
	return true;
}

/* The exit record in the loader's own words. It prints them: for once, to memory. */
char *exit_words(struct bpf_object *obj)
{
	FILE *real = stdout;
	char *words = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&words, &len);

	if (!memory)
		return NULL;
	stdout = memory;
	tell_exit(obj);
	stdout = real;
	fclose(memory);
	return words;
}
