/* What code that has been taken over does with its own registers and stack; C cannot say it. */
#define SPRAY_BYTES 512

  .text
/* Fills [sp, sp + \bytes) with the word in \with; t0 and t1 are lost. */
  .macro spray bytes, with
  mv t0, sp
  addi t1, sp, \bytes
1:
  sd \with, 0(t0)
  addi t0, t0, 8
  bltu t0, t1, 1b
  .endm

/* ui_hijack_jump(a0 = target, a1 = where the target's epilogue shall return to, a2 = its first argument) */
  .globl ui_hijack_jump
  .type ui_hijack_jump, @function
ui_hijack_jump:
  addi sp, sp, -SPRAY_BYTES
  spray SPRAY_BYTES, a1
  mv t0, a0
  mv a0, a2
  jr t0
  .size ui_hijack_jump, . - ui_hijack_jump

/* The same, but a stack buffer runs over and the function's own return does it. */
  .globl ui_hijack_return
  .type ui_hijack_return, @function
ui_hijack_return:
  addi sp, sp, -(16 + SPRAY_BYTES)
  sd ra, 8(sp)
  spray 16 + SPRAY_BYTES, a1
  sd a0, 8(sp)
  mv a0, a2
  ld ra, 8(sp)
  addi sp, sp, 16
  ret
  .size ui_hijack_return, . - ui_hijack_return
