/* Ordered sets of deliveries: treaps over an array of nodes, one node a delivery and forest. A root of 0 is empty.
 * Priorities come from the number, so that the same run makes the same trees. */
#ifndef HOOKLATCH_TESTS_SIMULATOR_TREE_H
#define HOOKLATCH_TESTS_SIMULATOR_TREE_H

#include "receiver/base/compiler.h"

struct tree_node {
	int64_t key; /* then by number */
	int32_t left;
	int32_t right;
	uint32_t priority;
	bool in; /* of one tree at a time */
};

struct forest {
	struct tree_node *nodes; /* by number, from 1 */
};

void tree_add(struct forest *forest, int32_t *root, int32_t number, int64_t key);
void tree_remove(struct forest *forest, int32_t *root, int32_t number);
int32_t tree_first(const struct forest *forest, int32_t root); /* 0: none */
/* The first one behind (key, number). */
int32_t tree_after(const struct forest *forest, int32_t root, int64_t key, int32_t number);

#endif
