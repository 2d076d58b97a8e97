/* Reset, the trap entry, and the way into U-mode. a0 = mhartid at reset. */
#define FRAME_BYTES 256

/* What mscratch holds while U-mode runs: what the trap vector needs; and the vector. */
#if CROSSINGS_BY_MONITOR
#define USER_SCRATCH crossing_area
#define TRAP_VECTOR crossing_vector     /* comes here with what it does not do itself */
#else
#define USER_SCRATCH __monitor_stack_top
#define TRAP_VECTOR trap_entry
#endif

  .section .text.reset, "ax"
  .globl monitor_reset
monitor_reset:
  bnez a0, .Lpark                       /* one hart runs the program */
  csrw mie, zero
  csrw mscratch, zero                   /* 0: a trap now is the monitor's own */
  la t0, TRAP_VECTOR
  csrw mtvec, t0
  la sp, __monitor_stack_top
  la t0, __monitor_bss_start
  la t1, __monitor_bss_end
1:
  bgeu t0, t1, 2f
  sd zero, 0(t0)
  addi t0, t0, 8
  j 1b
2:
  call monitor_main
.Lpark:
  wfi
  j .Lpark

  .text
/* mscratch is not 0 while U-mode runs, and 0 while the monitor does. */
  .balign 4
  .globl trap_entry
trap_entry:
  csrrw sp, mscratch, sp
  beqz sp, .Lown_trap
#if CROSSINGS_BY_MONITOR
  la sp, __monitor_stack_top
#endif
  addi sp, sp, -FRAME_BYTES
  .irp number, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  sd x\number, 8 * \number(sp)
  .endr
  csrrw t0, mscratch, zero
  sd t0, 8 * 2(sp)
  csrr t0, mepc
  sd t0, 0(sp)
  mv a0, sp
  call trap_handle
  ld t0, 0(sp)
  csrw mepc, t0
#if CROSSINGS_BY_MONITOR
  la t0, USER_SCRATCH
#else
  addi t0, sp, FRAME_BYTES
#endif
  csrw mscratch, t0
  .irp number, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  ld x\number, 8 * \number(sp)
  .endr
  ld sp, 8 * 2(sp)
  mret

.Lown_trap:
  csrw mscratch, zero
  la sp, __monitor_stack_top            /* the old stack may be what broke */
  call trap_in_monitor

/* user_enter(a0 = entry, a1 = stack top) */
  .globl user_enter
user_enter:
  csrw mepc, a0
  li t0, 3 << 11                        /* mstatus.MPP = U */
  csrc mstatus, t0
  la t0, USER_SCRATCH
  csrw mscratch, t0
  mv sp, a1
  .irp number, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  li x\number, 0                        /* nothing of the monitor's is left */
  .endr
  fence.i
  mret
