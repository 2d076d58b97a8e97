/* setjmp and longjmp by the contract (sections 7 and 11): the registers are in memory of this library, a jmp_buf is a
 * handle to them. Slots are used like a stack: a deeper frame has a higher slot. `fides cc` arms the handlers. */
#include "xfides.h"

#define SLOTS 64
#define SLOT_SHIFT 7 /* log2 of a slot's bytes */
#define RA 0
#define SP 8
#define S0 16 /* s0 to s11 */
#define HANDLE 112

  .bss
  .balign 8
slots:
  .zero SLOTS << SLOT_SHIFT
used:                                   /* slots in use */
  .zero 8
generation:                             /* handles given out */
  .zero 8

/* \slot = address of slot number \index */
  .macro slot_address slot, index
  slli \slot, \index, SLOT_SHIFT
  lla t6, slots
  add \slot, \slot, t6
  .endm

  .text
/* int __fides_setjmp(a0 = buffer, a1 = armed). The same call in the same frame uses its slot again. */
  .globl __fides_setjmp
  .type __fides_setjmp, @function
__fides_setjmp:
  vali8 a0, 0
  ld t0, used
  mv t4, t0
1:
  beqz t4, .Lnew_slot
  addi t1, t4, -1
  slot_address t2, t1
  ld t3, SP(t2)
  bgtu t3, sp, .Lnew_slot               /* of a frame above */
  mv t4, t1
  bne t3, sp, 1b                        /* of a frame that is gone */
  ld t3, RA(t2)
  beq t3, ra, .Lfill_slot
  j 1b
.Lnew_slot:
  li t1, SLOTS
  bgeu t0, t1, .Lrefuse
  mv t1, t0
  addi t0, t0, 1
  slot_address t2, t1
.Lfill_slot:                            /* t0 = slots in use, t1 = slot number, t2 = its address */
  sd t0, used, t3
  sd ra, RA(t2)
  sd sp, SP(t2)
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  sd s\number, S0 + 8 * \number(t2)
  .endr
  ld t3, generation
  addi t3, t3, 1
  sd t3, generation, t4
  slli t3, t3, 8
  or t3, t3, t1
  sd t3, HANDLE(t2)
  sd t3, 0(a0)
  li a0, 0
  ret
  .size __fides_setjmp, . - __fides_setjmp

/* __fides_jump_mark(): slots in use, for __fides_jump_release when the function leaves */
  .globl __fides_jump_mark
  .type __fides_jump_mark, @function
__fides_jump_mark:
  ld a0, used
  ret
  .size __fides_jump_mark, . - __fides_jump_mark

/* __fides_jump_release(a0 = mark): later slots are free */
  .globl __fides_jump_release
  .type __fides_jump_release, @function
__fides_jump_release:
  ld t0, used
  bgeu a0, t0, 1f
  sd a0, used, t1
1:
  ret
  .size __fides_jump_release, . - __fides_jump_release

/* longjmp(a0 = buffer, a1 = value) */
  .globl longjmp, _longjmp
  .type longjmp, @function
  .type _longjmp, @function
longjmp:
_longjmp:
  vali8 a0, 0
  ld t3, 0(a0)
  andi t1, t3, 0xff
  ld t0, used
  bgeu t1, t0, .Lrefuse
  slot_address t2, t1
  ld t4, HANDLE(t2)
  bne t3, t4, .Lrefuse
  addi t1, t1, 1
  sd t1, used, t3                       /* the frames of later slots are gone */
  ld ra, RA(t2)
  ld sp, SP(t2)
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  ld s\number, S0 + 8 * \number(t2)
  .endr
  sext.w a1, a1
  seqz a0, a1
  add a0, a0, a1                        /* 0 becomes 1 */
  mv t0, ra
  jr t0                                 /* not a return: the handler pad decides */
.Lrefuse:
  ebreak
  .size longjmp, . - longjmp
