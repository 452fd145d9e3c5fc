#include "tests/simulator/tree.h"

#include "receiver/base/error.h"

static bool
before(const struct forest *forest, int32_t a, int64_t key, int32_t number)
{
	const struct tree_node *node = &forest->nodes[a];
	return node->key < key || (node->key == key && a < number);
}

/* What is before (key, number) goes to the left, the rest to the right. */
static void
split(struct forest *forest, int32_t root, int64_t key, int32_t number, int32_t *left,
      int32_t *right)
{
	while (root != 0) {
		struct tree_node *node = &forest->nodes[root];
		if (before(forest, root, key, number)) {
			*left = root;
			left = &node->right;
			root = node->right;
		} else {
			*right = root;
			right = &node->left;
			root = node->left;
		}
	}
	*left = 0;
	*right = 0;
}

static int32_t
merge(struct forest *forest, int32_t left, int32_t right)
{
	int32_t root = 0;
	int32_t *at = &root;
	while (left != 0 && right != 0) {
		if (forest->nodes[left].priority > forest->nodes[right].priority) {
			*at = left;
			at = &forest->nodes[left].right;
			left = *at;
		} else {
			*at = right;
			at = &forest->nodes[right].left;
			right = *at;
		}
	}
	*at = left != 0 ? left : right;
	return root;
}

void
tree_add(struct forest *forest, int32_t *root, int32_t number, int64_t key)
{
	struct tree_node *node = &forest->nodes[number];
	ALWAYS(!node->in, "tree-add");
	uint64_t mixed = (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15);
	*node = (struct tree_node){ .key = key, .priority = (uint32_t)(mixed >> 32), .in = true };
	while (*root != 0 && forest->nodes[*root].priority >= node->priority) {
		root = before(forest, *root, key, number) ? &forest->nodes[*root].right
		                                          : &forest->nodes[*root].left;
	}
	split(forest, *root, key, number, &node->left, &node->right);
	*root = number;
}

void
tree_remove(struct forest *forest, int32_t *root, int32_t number)
{
	struct tree_node *node = &forest->nodes[number];
	ALWAYS(node->in, "tree-remove");
	while (*root != number) {
		ALWAYS(*root != 0, "tree-known");
		root = before(forest, *root, node->key, number) ? &forest->nodes[*root].right
		                                                : &forest->nodes[*root].left;
	}
	*root = merge(forest, node->left, node->right);
	node->in = false;
}

int32_t
tree_first(const struct forest *forest, int32_t root)
{
	while (root != 0 && forest->nodes[root].left != 0) {
		root = forest->nodes[root].left;
	}
	return root;
}

int32_t
tree_after(const struct forest *forest, int32_t root, int64_t key, int32_t number)
{
	int32_t found = 0;
	while (root != 0) {
		if (before(forest, root, key, number) || root == number) {
			root = forest->nodes[root].right;
		} else {
			found = root;
			root = forest->nodes[root].left;
		}
	}
	return found;
}
