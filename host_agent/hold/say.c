// SPDX-License-Identifier: Apache-2.0
/* Events for the agent, a line of JSON each. They are dropped rather than waited for: to hold the policy comes first. */
#include "hold.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_line(const char *line, size_t len)
{
	if (send(STDOUT_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && write(STDERR_FILENO, line, len) < 0)
		return;	/* run by hand stdout is no socket; and where nobody reads at all there is nobody to tell */
}

void say(const char *format, ...)
{
	char line[8192];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(line) - 1)
		return;
	line[len++] = '\n';
	send_line(line, len);
}

/* The text as the inside of a JSON string: bytes that are no printable ASCII by their numbers. */
const char *quoted(const char *text, char *into, size_t size)
{
	size_t at = 0;

	for (; *text && at + 7 < size; text++) {
		unsigned char c = *text;

		if (c == '"' || c == '\\' || c < 0x20 || c > 0x7e)
			at += snprintf(into + at, size - at, "\\u%04x", c);
		else
			into[at++] = c;
	}
	into[at] = '\0';
	return into;
}

/* `record` is "exit\tKIND\tCODE\tREASON\tMESSAGE", as the guest's loader tells it; an empty one is none. */
void say_end(const char *event, const char *key, const char *word, uint64_t detach_ns, const char *record)
{
	char copy[2048], reason[1024] = "", message[6144] = "", *rest = copy, *part;
	long long kind = -1, code = 0;

	snprintf(copy, sizeof(copy), "%s", record);
	copy[strcspn(copy, "\n")] = '\0';
	strsep(&rest, "\t");
	if ((part = strsep(&rest, "\t")) && sscanf(part, "%lld", &kind) != 1)
		kind = -1;
	if ((part = strsep(&rest, "\t")) && sscanf(part, "%lld", &code) != 1)
		code = 0;
	if ((part = strsep(&rest, "\t")))
		quoted(part, reason, sizeof(reason));
	if (rest)
		quoted(rest, message, sizeof(message));
	say("{\"event\":\"%s\",\"%s\":\"%s\",\"detach_ns\":%llu,\"exit\":{\"kind\":%lld,\"code\":%lld,\"reason\":\"%s\","
	    "\"message\":\"%s\"}}", event, key, word, (unsigned long long)detach_ns, kind, code, reason, message);
}
