/* Hypercalls: ecall from U-mode, in any compartment. Number in a7, arguments in a0 and a1, result in a0.
 * No register but a0 changes, and no compartment state. */
#ifndef HYPERCALLS_H
#define HYPERCALLS_H

#define HYPERCALL_EXIT 0    /* a0: exit code 0..31; does not return */
#define HYPERCALL_WRITE 1   /* a0: buffer, a1: bytes; result: bytes written, or -1 if the buffer is not readable */
#define HYPERCALL_TIME 2    /* result: mtime */
#define HYPERCALL_CYCLE 3   /* result: clock cycles */
#define HYPERCALL_INSTRET 4 /* result: instructions retired */
#define HYPERCALL_TICKS 5   /* a0: period of the timer interrupt in mtime, 0: off; result: interrupts so far */

/* A shorter period is taken as this one: the program has to get on between two interrupts. */
#define MINIMUM_TICK_PERIOD 500

/* Exit codes. 0..31 are the program's. */
#define EXIT_MAX_PROGRAM 31
#define EXIT_POLICY_REFUSED 32
#define EXIT_MONITOR_TRAP 33
#define EXIT_CONTROL_FLOW 64 /* + comcause */
#define EXIT_MEMORY 96       /* + comcause */
#define EXIT_EXCEPTION 128   /* + mcause */

#endif
