/* Flags in the low bits of pointers. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>

struct node {
  uintptr_t left, right;
  int value;
};

#define RED 1u

static struct node *plain(uintptr_t pointer)
{
  return (struct node *)(pointer & ~(uintptr_t)3);
}

static uintptr_t insert(uintptr_t tree, int value)
{
  if (!plain(tree)) {
    struct node *node = calloc(1, sizeof *node);
    node->value = value;
    return (uintptr_t)node | (value % 2 ? RED : 0);
  }
  struct node *node = plain(tree);
  if (value < node->value)
    node->left = insert(node->left, value);
  else
    node->right = insert(node->right, value);
  return tree;
}

static void show(uintptr_t tree)
{
  if (!plain(tree))
    return;
  show(plain(tree)->left);
  printf("%d%s ", plain(tree)->value, tree & RED ? "r" : "b");
  show(plain(tree)->right);
}

int main(void)
{
  uintptr_t tree = 0;
  for (int i = 0; i < 20; i++)
    tree = insert(tree, i * 7 % 20);
  show(tree);
  printf("\n");
  return 0;
}
