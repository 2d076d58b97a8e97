/* The trap vector of a core whose crossings the monitor judges: calls that the matrix allows, tail calls, calls
 * into restricted fluid code and back out of it, and returns. Everything else is for trap_entry and C. Nothing
 * of U-mode's registers changes but ra, and nothing here can trap. */
#include "crossings.h"
#include "xfides.h"

#if CROSSINGS_BY_MONITOR

#define RESTRICTED (1 << CONTEXT_BIT_RESTRICTED)
#define PAD_CID_SHIFT 4 /* in the upper half of the pad's word; kind and reserved bits above are 0 */

  .text
  .balign 64
  .globl crossing_vector
crossing_vector:
  csrrw t6, mscratch, t6                /* the area, or 0 in the monitor itself */
  beqz t6, .Lpass_on
  sd t0, AREA_T0(t6)
  sd t1, AREA_T1(t6)
  csrr t0, mcause
  li t1, CAUSE_CONTROL_FLOW
  bne t0, t1, .Lpass_on_two
  csrr t0, CSR_COMCAUSE
  li t1, TRAP_ENTRY_PAD
  bne t0, t1, .Lno_entry_pad

  sd t2, AREA_T2(t6)
  sd t3, AREA_T3(t6)
  csrr t0, mepc
  lhu t1, 2(t0)
  srli t1, t1, PAD_CID_SHIFT            /* t1 = callee */
  csrrw t2, CSR_CURRCOM, t1             /* t2 = caller's context, of which restricted ones have rows of zeros */
  slli t0, t2, ROW_SHIFT
  srli t3, t1, 6
  slli t3, t3, 3
  add t0, t0, t3
  add t0, t0, t6
  ld t0, AREA_ROWS + ROW_ALLOWED(t0)
  srl t0, t0, t1                        /* by the lowest six bits */
  andi t0, t0, 1
  beqz t0, .Lnot_allowed
  slli t0, t1, ROW_SHIFT
  add t0, t0, t6
  ld t0, AREA_ROWS + ROW_RANGE(t0)
  csrw CSR_COMRANGE, t0

.Lentered:                              /* t2 = context to return to */
  ld t0, AREA_TOP(t6)
  ld t3, ENTRY_SP(t0)
  beq t3, sp, .Ltail_call
.Lpush:
  ld t3, AREA_LAST(t6)
  bgeu t0, t3, .Lundo
  csrr t3, CSR_FMARK
  sd ra, ENTRY_BYTES + ENTRY_RA(t0)
  sd sp, ENTRY_BYTES + ENTRY_SP(t0)
  sw t2, ENTRY_BYTES + ENTRY_CONTEXT(t0)
  sw t3, ENTRY_BYTES + ENTRY_FMARK(t0)
  addi t0, t0, ENTRY_BYTES
  sd t0, AREA_TOP(t6)
  ld ra, AREA_GATE(t6)
.Lgo_on:
  ld t0, AREA_T0(t6)
  ld t1, AREA_T1(t6)
  ld t2, AREA_T2(t6)
  ld t3, AREA_T3(t6)
  csrrw t6, mscratch, t6
  mret                                  /* to the pad, which is at home now, or traps again */

.Ltail_call:                            /* if it is one: the entry of a call, and its return address */
  lw t3, ENTRY_CONTEXT(t0)
  bltz t3, .Lpush
  ld t3, AREA_GATE(t6)
  bne t3, ra, .Lpush
  j .Lgo_on

.Lnot_allowed:                          /* but perhaps fluid code, or the way back from it */
  csrr t0, mepc
  ld t3, AREA_RESTRICTED_START(t6)
  bltu t0, t3, 1f
  ld t3, AREA_RESTRICTED_END(t6)
  bgeu t0, t3, 1f
  ori t3, t2, RESTRICTED
  csrw CSR_CURRCOM, t3
  j .Lentered
1:
  slli t3, t2, ROW_SHIFT
  add t3, t3, t6
  lwu t1, AREA_ROWS + ROW_START(t3)
  bltu t0, t1, .Lundo
  lwu t1, AREA_ROWS + ROW_END(t3)
  bgeu t0, t1, .Lundo
  andi t3, t2, MAX_COMPARTMENTS - 1
  csrw CSR_CURRCOM, t3
  j .Lentered

.Lundo:
  csrw CSR_CURRCOM, t2
  ld t2, AREA_T2(t6)
  ld t3, AREA_T3(t6)
  j .Lpass_on_two

.Lno_entry_pad:
  csrr t1, mepc
  ld t0, AREA_GATE(t6)
  bne t0, t1, .Lpass_on_two
  ld t0, AREA_TOP(t6)
  ld t1, ENTRY_SP(t0)
  bne t1, sp, .Lpass_on_two
  lw t1, ENTRY_CONTEXT(t0)
  bltz t1, .Lpass_on_two
  csrw CSR_CURRCOM, t1
  slli t1, t1, ROW_SHIFT
  add t1, t1, t6
  ld t1, AREA_ROWS + ROW_RANGE(t1)
  csrw CSR_COMRANGE, t1
  lw t1, ENTRY_FMARK(t0)
  csrw CSR_FMARK, t1
  ld ra, ENTRY_RA(t0)
  csrw mepc, ra
  addi t0, t0, -ENTRY_BYTES
  sd t0, AREA_TOP(t6)
  ld t0, AREA_T0(t6)
  ld t1, AREA_T1(t6)
  csrrw t6, mscratch, t6
  mret

.Lpass_on_two:
  ld t0, AREA_T0(t6)
  ld t1, AREA_T1(t6)
.Lpass_on:
  csrrw t6, mscratch, t6
  j trap_entry

#endif
