  .text
  .globl caller_leaf
  .type caller_leaf, @function
caller_leaf:
  ret
  .size caller_leaf, . - caller_leaf

  .globl caller_tail
  .type caller_tail, @function
caller_tail:
  tail caller_leaf
  .size caller_tail, . - caller_tail

/* uint64_t measure_calls(a0 = function, a1 = iterations): clock cycles of the loop. The same loop for every
 * function, so that differences are the function's. */
  .globl measure_calls
  .type measure_calls, @function
measure_calls:
  addi sp, sp, -32
  sd ra, 24(sp)
  sd s0, 16(sp)
  sd s1, 8(sp)
  sd s2, 0(sp)
  mv s0, a0
  mv s1, a1
  jalr s0                               /* fills what the first call fills */
  rdcycle s2
1:
  jalr s0
  addi s1, s1, -1
  bnez s1, 1b
  rdcycle a0
  sub a0, a0, s2
  ld ra, 24(sp)
  ld s0, 16(sp)
  ld s1, 8(sp)
  ld s2, 0(sp)
  addi sp, sp, 32
  ret
  .size measure_calls, . - measure_calls

/* uint64_t measure_loop(a0 = iterations): the same without the call */
  .globl measure_loop
  .type measure_loop, @function
measure_loop:
  rdcycle a1
1:
  addi a0, a0, -1
  bnez a0, 1b
  rdcycle a0
  sub a0, a0, a1
  ret
  .size measure_loop, . - measure_loop
