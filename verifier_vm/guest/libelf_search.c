// SPDX-License-Identifier: Apache-2.0
/*
 * What Debian 13's static libelf (elfutils 0.192) calls and does not hold: the search trees of libeu, which libelf.a was
 * built without. libbpf never fills one, so they are made and ended empty. Weak: a libelf that is whole brings its own.
 */
#include <search.h>
#include <stddef.h>

struct search_tree {	/* a lock may follow, which one thread needs not */
	void *root;
};

#define WEAK __attribute__((weak))

WEAK void eu_search_tree_init(struct search_tree *tree);
WEAK void eu_search_tree_fini(struct search_tree *tree, void (*release)(void *));
WEAK void *eu_tsearch(const void *key, struct search_tree *tree, int (*compare)(const void *, const void *));
WEAK void *eu_tdelete(const void *key, struct search_tree *tree, int (*compare)(const void *, const void *));

void eu_search_tree_init(struct search_tree *tree)
{
	tree->root = NULL;
}

void eu_search_tree_fini(struct search_tree *tree, void (*release)(void *))
{
	tdestroy(tree->root, release);
}

void *eu_tsearch(const void *key, struct search_tree *tree, int (*compare)(const void *, const void *))
{
	return tsearch(key, &tree->root, compare);
}

void *eu_tdelete(const void *key, struct search_tree *tree, int (*compare)(const void *, const void *))
{
	return tdelete(key, &tree->root, compare);
}
