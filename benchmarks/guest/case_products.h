/* SPDX-License-Identifier: Apache-2.0 */
/*
 * products: sales joined with products by a hash table, revenue added up by category, and the product that sold most
 * found: the viral one. Revenue and winner are compared with those that the sales were made from.
 *
 * The paper's sales: 99 products of 8000 and a viral one of 12000 (small), 99 of 100000 and one of 700000 (large).
 */
#ifndef BENCHMARKS_CASE_PRODUCTS_H
#define BENCHMARKS_CASE_PRODUCTS_H

#include "case.h"

#define PRODUCTS 100
#define CATEGORIES 12
#define JOIN_SLOTS 256 /* a power of two, at least twice the products */

struct product {
	uint32_t id, category, cents;
};

struct sale {
	uint32_t order, product, quantity;
};

struct joined {
	struct product product;
	uint64_t sold;
};

static KEPT struct product catalogue[PRODUCTS];
static KEPT struct {
	struct sale *sales;
	uint64_t revenue[CATEGORIES], sold[PRODUCTS];
} market[2];

/* Ids of 32 bits with gaps, none twice: an odd multiplier is a bijection. */
static void make_catalogue(void)
{
	for (uint32_t i = 0; i < PRODUCTS; i++) {
		uint64_t drawn = seeded(seed, 2000 + i);

		catalogue[i].id = (i + 1) * 2654435761u;
		catalogue[i].category = (uint32_t)(drawn % CATEGORIES);
		catalogue[i].cents = 99 + (uint32_t)(drawn >> 32) % 50000;
	}
}

static void products_prepare(int large, uint64_t rows)
{
	uint64_t others = large ? 100000 : 8000, viral = large ? 700000 : 12000, all = (PRODUCTS - 1) * others + viral;
	struct sale *sale = market[large].sales = input_memory(rows * sizeof(*sale));

	make_catalogue();
	for (uint64_t row = 0; row < rows; row++, sale++) {
		uint64_t drawn = seeded(seed ^ 0x9a0d ^ (uint64_t)large, row), which = (drawn & 0xffffffff) * all >> 32;
		uint64_t i = which < viral ? PRODUCTS - 1 : (which - viral) / others;

		*sale = (struct sale){(uint32_t)row, catalogue[i].id, 1 + (uint32_t)(drawn >> 32) % 4};
		market[large].revenue[catalogue[i].category] += (uint64_t)catalogue[i].cents * sale->quantity;
		market[large].sold[i] += sale->quantity;
	}
}

static struct joined *join_slot(struct joined *table, uint32_t id)
{
	uint32_t at = id * 2246822519u >> 24;

	while (table[at].product.id && table[at].product.id != id)
		at = (at + 1) % JOIN_SLOTS;
	return &table[at];
}

static int products_run(const struct job *job)
{
	struct joined table[JOIN_SLOTS] = {0};
	uint64_t revenue[CATEGORIES] = {0}, most = 0, best = 0;

	for (int i = 0; i < PRODUCTS; i++)
		join_slot(table, catalogue[i].id)->product = catalogue[i];
	for (uint64_t row = 0; row < job->size; row++) {
		const struct sale *sale = &market[job->large].sales[row];
		struct joined *with = join_slot(table, sale->product);

		if (with->product.id != sale->product)
			return 0; /* a sale of nothing in the catalogue */
		revenue[with->product.category] += (uint64_t)with->product.cents * sale->quantity;
		with->sold += sale->quantity;
	}
	for (uint64_t i = 0; i < PRODUCTS; i++) {
		uint64_t sold = join_slot(table, catalogue[i].id)->sold;

		best = sold > most ? i : best;
		most = sold > most ? sold : most;
		if (sold != market[job->large].sold[i])
			return 0;
	}
	return !memcmp(revenue, market[job->large].revenue, sizeof(revenue)) &&
	       (best == PRODUCTS - 1 || job->size < 100 * PRODUCTS); /* chance decides where the rows are few */
}

static const struct batch_case products_case = {
	"products", "rows", {"join-small", "join-large"}, 100, 1ULL << 31,
	products_prepare, NULL, products_run, NULL,
};

#endif
