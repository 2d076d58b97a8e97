/* The security monitor: trusted M-mode firmware. One file for each job; this is what they share. */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "policy_format.h"
#include "xfides.h"

/* U-mode registers of a trap, x1 to x31 at their numbers; x0's place holds mepc. Layout known to entry.S. */
struct trap_frame {
  uint64_t x[32];
};

#define CSR_TEXT_(csr) #csr
#define CSR_TEXT(csr) CSR_TEXT_(csr)
#define csr_read(csr) \
  ({ \
    uint64_t csr_value_; \
    __asm__ volatile("csrr %0, " CSR_TEXT(csr) : "=r"(csr_value_)); \
    csr_value_; \
  })
#define csr_write(csr, value) __asm__ volatile("csrw " CSR_TEXT(csr) ", %0" : : "r"((uint64_t)(value)) : "memory")
#define csr_set(csr, value) __asm__ volatile("csrs " CSR_TEXT(csr) ", %0" : : "r"((uint64_t)(value)) : "memory")
#define csr_clear(csr, value) __asm__ volatile("csrc " CSR_TEXT(csr) ", %0" : : "r"((uint64_t)(value)) : "memory")

/* console.c */
void console_bytes(const char *bytes, uint64_t count);
void console_text(const char *text);
void console_hex(uint64_t value);
void console_decimal(uint64_t value);
_Noreturn void platform_exit(uint32_t code);

/* policy.c */
const struct policy_header *policy_header(void);
const struct policy_compartment *policy_compartments(void);
const struct policy_static *policy_statics(void);
void policy_check(uint64_t compartments_implemented);

/* xfides.c; without the extension only the first two do anything */
void xfides_start(const struct policy_header *policy);
uint64_t xfides_compartments_implemented(void);

/* shadow_stack.c or crossings.c, depending on who judges crossings */
void crossings_start(const struct policy_header *policy);

/* shadow_stack.c: the hardware */
void shadow_stack_spill(struct trap_frame *frame);
void shadow_stack_refill(void);

/* crossings.c: the monitor */
void crossing_trap(struct trap_frame *frame);

/* fault.c */
_Noreturn void fault_stop(const struct trap_frame *frame, const char *note);

/* trap.c, called by entry.S */
void trap_handle(struct trap_frame *frame);
_Noreturn void trap_in_monitor(void);

/* entry.S */
_Noreturn void user_enter(uint64_t entry, uint64_t stack_top);

#endif
