/* First code of the program, in the entry compartment; sp is set by the monitor. */
#include "hypercalls.h"

  .text
  .globl program_start
  .type program_start, @function
program_start:
  call main
  li a7, HYPERCALL_EXIT
  ecall
  .size program_start, . - program_start
