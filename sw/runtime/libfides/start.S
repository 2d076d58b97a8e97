/* First code of a program, in its main compartment; sp is set by the monitor, everything else is 0. */
  .text
  .globl _start
  .type _start, @function
_start:
  addi sp, sp, -16
  lla a0, __tls_base
  lla a1, __tdata_source
  lla a2, __tdata_size
  mv tp, a0
  call memcpy
  lla s0, __preinit_array_start
  lla s1, __preinit_array_end
  call .Lconstructors
  lla s0, __init_array_start
  lla s1, __init_array_end
  call .Lconstructors
  call __fides_arguments                /* a0 = argc, a1 = argv */
  li a2, 0
  call main
  call exit
  ebreak

.Lconstructors:                         /* those from s0 to s1 */
  addi sp, sp, -16
  sd ra, 0(sp)
1:
  bgeu s0, s1, 2f
  ld t0, 0(s0)
  addi s0, s0, 8
  jalr t0
  j 1b
2:
  ld ra, 0(sp)
  addi sp, sp, 16
  ret
  .size _start, . - _start
