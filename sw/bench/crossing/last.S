  .text
  .globl last_leaf
  .type last_leaf, @function
last_leaf:
  ret
  .size last_leaf, . - last_leaf
