/* setjmp and longjmp by the contract (sections 7 and 11): the registers are in the runtime's memory, a jmp_buf is
 * a handle to them. The build step that inserts landing pads arms the handler at each call of setjmp; on every way
 * out of the function after that call, setjmp_leave takes it away, once. */
#ifndef SETJMP_H
#define SETJMP_H

#include <stdint.h>

#include "xfides.h"

typedef struct {
  uint64_t handle; /* 0: none yet */
} jmp_buf[1];

int setjmp(jmp_buf buffer) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf buffer, int value);

void setjmp_release(jmp_buf buffer); /* for setjmp_leave */

static inline __attribute__((always_inline, unused)) void setjmp_leave(jmp_buf buffer)
{
#if XFIDES
  __asm__ volatile(INSN_DISARM() : : : "memory");
#endif
  setjmp_release(buffer);
}

#endif
