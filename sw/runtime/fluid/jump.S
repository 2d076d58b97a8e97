/* setjmp and longjmp. Slots are used like a stack: a deeper frame has a higher slot. */
#include "jump.h"

  .bss
  .balign 8
  .globl jump_slots
  .type jump_slots, @object
  .size jump_slots, JUMP_SLOTS << JUMP_SLOT_SHIFT
jump_slots:
  .zero JUMP_SLOTS << JUMP_SLOT_SHIFT
jump_count:                             /* slots in use */
  .zero 8
jump_generation:                        /* handles given out */
  .zero 8

/* \slot = address of slot number \index */
  .macro slot_address slot, index
  slli \slot, \index, JUMP_SLOT_SHIFT
  la t6, jump_slots
  add \slot, \slot, t6
  .endm

  .text
/* int setjmp(a0 = buffer). The same call in the same frame uses its slot again. */
  .globl setjmp
  .type setjmp, @function
setjmp:
  ld t0, jump_count
  mv t4, t0
1:
  beqz t4, .Lnew_slot
  addi t1, t4, -1
  slot_address t2, t1
  ld t3, JUMP_SP(t2)
  bne t3, sp, .Lnew_slot
  ld t3, JUMP_RA(t2)
  beq t3, ra, .Lfill_slot
  mv t4, t1
  j 1b
.Lnew_slot:
  li t1, JUMP_SLOTS
  bgeu t0, t1, .Lrefuse
  mv t1, t0
  addi t0, t0, 1
  slot_address t2, t1
.Lfill_slot:                            /* t0 = slots in use, t1 = slot number, t2 = its address */
  sd t0, jump_count, t3
  sd ra, JUMP_RA(t2)
  sd sp, JUMP_SP(t2)
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  sd s\number, JUMP_S0 + 8 * \number(t2)
  .endr
  ld t3, jump_generation
  addi t3, t3, 1
  sd t3, jump_generation, t4
  slli t3, t3, 8
  or t3, t3, t1
  sd t3, JUMP_HANDLE(t2)
  sd t3, 0(a0)
  li a0, 0
  ret
  .size setjmp, . - setjmp

/* t1 = number and t2 = address of the slot in use whose handle is at \buffer, or on to \otherwise; t0, t3 and t4
 * are lost */
  .macro find_slot buffer, otherwise
  ld t3, 0(\buffer)
  andi t1, t3, 0xff
  ld t0, jump_count
  bgeu t1, t0, \otherwise
  slot_address t2, t1
  ld t4, JUMP_HANDLE(t2)
  bne t3, t4, \otherwise
  .endm

/* void setjmp_release(a0 = buffer): its slot and those after it are free; a handle that is not in use is ignored */
  .globl setjmp_release
  .type setjmp_release, @function
setjmp_release:
  find_slot a0, .Lreleased
  sd t1, jump_count, t3
.Lreleased:
  ret
  .size setjmp_release, . - setjmp_release

/* longjmp(a0 = buffer, a1 = value) */
  .globl longjmp
  .type longjmp, @function
longjmp:
  find_slot a0, .Lrefuse
  addi t1, t1, 1
  sd t1, jump_count, t3                 /* the frames of later slots are gone */
  ld ra, JUMP_RA(t2)
  ld sp, JUMP_SP(t2)
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  ld s\number, JUMP_S0 + 8 * \number(t2)
  .endr
  seqz a0, a1
  add a0, a0, a1                        /* 0 becomes 1 */
  mv t0, ra
  jr t0                                 /* not a return: the handler pad decides */
.Lrefuse:
  ebreak
  .size longjmp, . - longjmp
