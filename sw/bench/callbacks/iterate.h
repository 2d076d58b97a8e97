/* void ITERATE(a0 = function, a1 = count): calls the function so often */
  .text
  .globl ITERATE
  .type ITERATE, @function
ITERATE:
  addi sp, sp, -32
  sd ra, 24(sp)
  sd s0, 16(sp)
  sd s1, 8(sp)
  mv s0, a1
  mv s1, a0
  beqz s0, 2f
1:
  jalr s1
  addi s0, s0, -1
  bnez s0, 1b
2:
  ld ra, 24(sp)
  ld s0, 16(sp)
  ld s1, 8(sp)
  addi sp, sp, 32
  ret
  .size ITERATE, . - ITERATE
