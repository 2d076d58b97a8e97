  .text
  .globl restricted_leaf
  .type restricted_leaf, @function
restricted_leaf:
  ret
  .size restricted_leaf, . - restricted_leaf
