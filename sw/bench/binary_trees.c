/* Binary trees: builds, walks and frees full trees of several depths while a long-lived one stays. The C library's
 * malloc and free, pointer chasing, recursion. */
#include <stdlib.h>

#include "harness.h"

#define SHALLOWEST 4
#define DEEPEST 6

const struct benchmark benchmark = {"binary_trees", 0x3f909b6ab5c64a63};

struct node {
  struct node *left, *right;
};

/* A full tree; without memory, what was built until then. */
static struct node *build(int depth)
{
  struct node *tree = malloc(sizeof *tree);
  if (tree) {
    tree->left = depth ? build(depth - 1) : 0;
    tree->right = depth ? build(depth - 1) : 0;
  }
  return tree;
}

static uint64_t count(const struct node *tree)
{
  return tree ? 1 + count(tree->left) + count(tree->right) : 0;
}

static void discard(struct node *tree)
{
  if (tree) {
    discard(tree->left);
    discard(tree->right);
    free(tree);
  }
}

static uint64_t count_and_discard(int depth)
{
  struct node *tree = build(depth);
  uint64_t nodes = count(tree);
  discard(tree);
  return nodes;
}

uint64_t benchmark_run(void)
{
  uint64_t sum = checksum(CHECKSUM_START, count_and_discard(DEEPEST + 1));
  struct node *lasting = build(DEEPEST);
  for (int depth = SHALLOWEST; depth <= DEEPEST; depth += 2) {
    uint64_t nodes = 0;
    for (int trees = 1 << (DEEPEST - depth + SHALLOWEST); trees > 0; trees--)
      nodes += count_and_discard(depth);
    sum = checksum(sum, nodes);
  }
  sum = checksum(sum, count(lasting));
  discard(lasting);
  return sum;
}
