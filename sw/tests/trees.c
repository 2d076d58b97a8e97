/* A balanced tree with parent pointers, freed from the leaves. */
#include <stdio.h>
#include <stdlib.h>

struct tree {
  struct tree *child[2], *parent;
  int key, height;
};

static int height(struct tree *t) { return t ? t->height : 0; }

static void update(struct tree *t)
{
  int l = height(t->child[0]), r = height(t->child[1]);
  t->height = (l > r ? l : r) + 1;
}

static struct tree *rotate(struct tree *t, int side)
{
  struct tree *up = t->child[!side];
  t->child[!side] = up->child[side];
  if (up->child[side])
    up->child[side]->parent = t;
  up->child[side] = t;
  up->parent = t->parent;
  t->parent = up;
  update(t);
  update(up);
  return up;
}

static struct tree *insert(struct tree *t, struct tree *parent, int key)
{
  if (!t) {
    t = calloc(1, sizeof *t);
    t->key = key;
    t->parent = parent;
    t->height = 1;
    return t;
  }
  int side = key > t->key;
  t->child[side] = insert(t->child[side], t, key);
  update(t);
  int lean = height(t->child[0]) - height(t->child[1]);
  if (lean > 1) {
    if (height(t->child[0]->child[0]) < height(t->child[0]->child[1]))
      t->child[0] = rotate(t->child[0], 0);
    return rotate(t, 1);
  }
  if (lean < -1) {
    if (height(t->child[1]->child[1]) < height(t->child[1]->child[0]))
      t->child[1] = rotate(t->child[1], 1);
    return rotate(t, 0);
  }
  return t;
}

static int destroy(struct tree *t)
{
  if (!t)
    return 0;
  int count = destroy(t->child[0]) + destroy(t->child[1]) + 1;
  free(t);
  return count;
}

int main(void)
{
  struct tree *root = NULL;
  for (int i = 0; i < 120; i++)
    root = insert(root, NULL, i * 53 % 127);
  struct tree *at = root;
  while (at->child[0])
    at = at->child[0];
  int depth = 0;
  for (struct tree *up = at; up->parent; up = up->parent)
    depth++;
  printf("%d %d %d", root->height, at->key, depth);
  printf(" %d\n", destroy(root));
  return 0;
}
