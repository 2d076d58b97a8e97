  .text
  .globl callee_leaf
  .type callee_leaf, @function
callee_leaf:
  ret
  .size callee_leaf, . - callee_leaf

/* A tail call from one compartment into the next: its return goes straight back to the caller */
  .globl callee_tail
  .type callee_tail, @function
callee_tail:
  tail last_leaf
  .size callee_tail, . - callee_tail
