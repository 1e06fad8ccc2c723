// SPDX-License-Identifier: Apache-2.0
/* A growing, bounded byte buffer, and JSON strings into it. */
#include "guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_add(struct text *t, const char *data, size_t len)
{
	if (t->limit && t->len + len > t->limit) {
		t->dropped += t->len + len - t->limit;
		len = t->limit - t->len;
	}
	if (t->len + len > t->cap) {
		t->cap = (t->len + len) * 2 + 256;
		t->data = realloc(t->data, t->cap);
		if (!t->data)
			abort();	/* PID 1: the panic that follows is what the host should see */
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
}

void text_printf(struct text *t, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_add(t, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void text_json(struct text *t, const char *s, size_t len)
{
	size_t i;

	text_add(t, "\"", 1);
	for (i = 0; i < len; i++) {
		unsigned char c = s[i];

		if (c == '"' || c == '\\')
			text_printf(t, "\\%c", c);
		else if (c == '\n')
			text_add(t, "\\n", 2);
		else if (c < 0x20 || c >= 0x80)	/* byte by byte: a name of a task is any 15 of them (machine/wire.py) */
			text_printf(t, "\\u%04x", c);
		else
			text_add(t, (const char *)&c, 1);
	}
	text_add(t, "\"", 1);
}

void text_free(struct text *t)
{
	free(t->data);
	*t = (struct text){ .limit = t->limit };
}
