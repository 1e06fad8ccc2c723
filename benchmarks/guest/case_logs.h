/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs: lines of a web server's log parsed, requests, errors and bytes counted by address, and the addresses with
 * the most requests found: those of an attack. Compared with what the lines were written from.
 *
 * The paper's lines: 30000 ordinary and 8000 of the attack (small), 1000000 and 500000 (large).
 */
#ifndef BENCHMARKS_CASE_LOGS_H
#define BENCHMARKS_CASE_LOGS_H

#include "case.h"

#define ATTACKERS 8
#define CLIENTS 4096
#define LOG_SLOTS 16384 /* a power of two, well above the addresses */
#define ADDRESS 17 /* with the space and the nul */
#define LOG_LINE 128 /* no line is longer */

struct client {
	uint32_t address, requests, errors;
	uint64_t bytes;
};

struct log_truth {
	uint64_t lines, errors, bytes, attacks[ATTACKERS];
};

static KEPT struct {
	char *text, *end;
	struct log_truth truth;
} web_log[2];

static struct client log_table[LOG_SLOTS];

/* Ordinary clients in 10.0.0.0/12, attackers in 172.16.0.0/16. */
static uint32_t address_of(uint64_t who)
{
	if (who < ATTACKERS)
		return 0xac100000u + (uint32_t)(seeded(seed, 3000) % 250 + 1) * 256 + (uint32_t)who;
	return 0x0a000000u + (uint32_t)(who * 251 % 0xfffff);
}

static char *put_text(char *out, const char *text)
{
	size_t length = strlen(text);

	memcpy(out, text, length);
	return out + length;
}

/* Addresses as text, each made when it is first wanted: printing one costs more than to parse it. */
static char *put_address(char *out, uint64_t who)
{
	static char text[ATTACKERS + CLIENTS][ADDRESS];
	char *to = text[who];

	if (!*to)
		for (int shift = 24; shift >= 0; shift -= 8) {
			to = put_number(to, address_of(who) >> shift & 255);
			*to++ = shift ? '.' : ' ';
		}
	return put_text(out, text[who]);
}

static void logs_prepare(int large, uint64_t lines)
{
	static const char *const paths[8] = {
		"/", "/index.html", "/login", "/api/v1/items", "/api/v1/cart", "/static/app.js", "/static/site.css", "/search?q=a",
	};
	struct log_truth *truth = &web_log[large].truth;
	uint64_t ordinary = large ? 1000000 : 30000, attack = large ? 500000 : 8000;
	char *out = web_log[large].text = input_memory(lines * LOG_LINE);

	for (uint64_t line = 0; line < lines; line++) {
		uint64_t drawn = seeded(seed ^ 0x1095 ^ (uint64_t)large, line), size = 200 + (drawn >> 48) % 20000;
		int is_attack = ((drawn & 0xffffffff) * (ordinary + attack) >> 32) < attack, failed = (drawn >> 40) % 16 == 0;
		uint64_t who = is_attack ? drawn % ATTACKERS : ATTACKERS + (drawn >> 20) % CLIENTS;

		out = put_address(out, who);
		out = put_text(out, "- - [21/Jul/2026:06:25:");
		*out++ = (char)('0' + line / 1000 % 6);
		*out++ = (char)('0' + line / 100 % 10);
		out = put_text(out, " +0000] \"GET ");
		out = put_text(out, is_attack ? "/login" : paths[(drawn >> 36) % 8]);
		out = put_text(out, failed ? " HTTP/1.1\" 503 " : " HTTP/1.1\" 200 ");
		out = put_number(out, size);
		*out++ = '\n';
		truth->errors += (uint64_t)failed;
		truth->bytes += size;
		truth->attacks[drawn % ATTACKERS] += (uint64_t)is_attack;
	}
	truth->lines = lines;
	web_log[large].end = out;
}

static uint64_t parse_number(const char **at)
{
	uint64_t number = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++)
		number = number * 10 + (uint64_t)(**at - '0');
	return number;
}

static struct client *client_of(uint32_t address)
{
	uint32_t at = address * 2654435761u >> 18; /* the upper 14 bits: LOG_SLOTS */

	while (log_table[at].address && log_table[at].address != address)
		at = (at + 1) % LOG_SLOTS;
	log_table[at].address = address;
	return &log_table[at];
}

/* One line counted; returns where the next begins, null where this is not one. */
static const char *parse_line(const char *at)
{
	uint32_t address = 0;
	struct client *client;

	for (int part = 0; part < 4; part++) {
		address = address << 8 | (uint32_t)parse_number(&at);
		if (*at++ != (part < 3 ? '.' : ' '))
			return NULL;
	}
	while (*at != '"' && *at != '\n')
		at++;
	if (*at++ != '"')
		return NULL;
	while (*at != '"' && *at != '\n')
		at++;
	if (*at++ != '"' || *at++ != ' ')
		return NULL;
	client = client_of(address);
	client->requests++;
	client->errors += parse_number(&at) >= 400;
	if (*at++ != ' ')
		return NULL;
	client->bytes += parse_number(&at);
	return *at == '\n' ? at + 1 : NULL;
}

/* Are the addresses with the most requests those of the attack, each with as many as were written? */
static int offenders_are_right(const struct log_truth *truth)
{
	uint32_t least = UINT32_MAX, above = 0;

	for (uint64_t who = 0; who < ATTACKERS; who++) {
		uint32_t requests = client_of(address_of(who))->requests;

		if (requests != truth->attacks[who])
			return 0;
		least = requests < least ? requests : least;
	}
	for (uint32_t i = 0; i < LOG_SLOTS; i++)
		above += log_table[i].requests >= least;
	return above == ATTACKERS || truth->lines < 10000; /* chance decides where the lines are few */
}

static void logs_open(const struct job *job)
{
	(void)job;
	memset(log_table, 0, sizeof(log_table));
}

static int logs_run(const struct job *job)
{
	const struct log_truth *truth = &web_log[job->large].truth;
	const char *at = web_log[job->large].text, *end = web_log[job->large].end;
	uint64_t requests = 0, errors = 0, bytes = 0;

	while (at && at < end)
		at = parse_line(at);
	for (uint32_t i = 0; i < LOG_SLOTS; i++) {
		requests += log_table[i].requests;
		errors += log_table[i].errors;
		bytes += log_table[i].bytes;
	}
	return at == end && requests == truth->lines && errors == truth->errors && bytes == truth->bytes &&
	       offenders_are_right(truth);
}

static const struct batch_case logs_case = {
	"logs", "lines", {"logs-small", "logs-large"}, 100, 1ULL << 31,
	logs_prepare, logs_open, logs_run, NULL,
};

#endif
