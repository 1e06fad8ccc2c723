// SPDX-License-Identifier: Apache-2.0
#include "hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) ? NULL : word + len;
}

static bool read_one(struct options *options, const char *word)
{
	const char *value;

	if ((value = value_of(word, "--object=")))
		options->object = value;
	else if ((value = value_of(word, "--sys=")))
		options->sys = value;
	else if ((value = value_of(word, "--lease-ms=")))
		options->lease_ms = atoi(value);
	else if ((value = value_of(word, "--stop=")) && options->nr_stops < MOST_STOPS)
		options->stops[options->nr_stops++] = value;
	else if (!strcmp(word, "--shadow"))
		options->shadow = true;
	else
		return false;
	return true;
}

bool read_options(struct options *options, int argc, char **argv)
{
	int i;

	*options = (struct options){ .sys = "/sys", .lease_ms = 1000 };
	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!read_one(options, argv[i])) {
			fprintf(stderr, "schedcp-hold: '%s' is no option\n", argv[i]);
			return false;
		}
	}
	options->words = i < argc ? i + 1 : argc;
	if (!options->object || options->lease_ms < 100 || options->lease_ms > 60000) {
		fprintf(stderr, "schedcp-hold: --object=PATH is missing, or --lease-ms is not from 100 to 60000\n");
		return false;
	}
	return true;
}
