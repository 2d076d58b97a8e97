/* Reset in M-mode, where a benchmark stays. a0 = mhartid. Main memory is loaded, and is the stack's, too. */
  .section .text.reset, "ax"
  .globl _start
_start:
  bnez a0, .Lpark                       /* one hart runs the program */
  csrw mie, zero
  la t0, .Ltrap
  csrw mtvec, t0
  csrw mcountinhibit, zero
  la sp, __stack_top
  la tp, __tls_start                    /* the C library's errno */
  la t0, __bss_start                    /* the linker script aligns both to 8 */
  la t1, __bss_end
1:
  bgeu t0, t1, 2f
  sd zero, 0(t0)
  addi t0, t0, 8
  j 1b
2:
  li a0, 0
  li a1, 0
  call main
  call platform_exit
.Lpark:
  wfi
  j .Lpark

  .balign 4
.Ltrap:
  la sp, __stack_top                    /* the old stack may be what broke */
  csrr a0, mcause
  csrr a1, mepc
  csrr a2, mtval
  call platform_trap
