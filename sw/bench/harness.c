/* Console and counters, on the target and on the host. */
#include "harness.h"

#ifdef __riscv

#include "platform.h"

static volatile uint32_t *device(uint64_t address)
{
  return (volatile uint32_t *)address;
}

void console_byte(char byte)
{
  while (*device(UART_BASE + UART_STATUS) & UART_STATUS_TX_FULL) {
  }
  *device(UART_BASE + UART_TRANSMIT) = (uint8_t)byte;
}

/* start.S calls it when main returns. */
_Noreturn void platform_exit(uint32_t code);

_Noreturn void platform_exit(uint32_t code)
{
  while (!(*device(UART_BASE + UART_STATUS) & UART_STATUS_TX_EMPTY)) {
  }
  *device(EXIT_BASE) = code;
  for (;;) {
  }
}

/* start.S calls it for a trap: no program wants one. */
_Noreturn void platform_trap(uint64_t cause, uint64_t pc, uint64_t value);

_Noreturn void platform_trap(uint64_t cause, uint64_t pc, uint64_t value)
{
  console_text("trap: mcause ");
  console_hex(cause);
  console_text(", mepc ");
  console_hex(pc);
  console_text(", mtval ");
  console_hex(value);
  console_byte('\n');
  platform_exit(255);
}

#define READ(csr)                                         \
  ({                                                      \
    uint64_t value_;                                      \
    __asm__ volatile("csrr %0, " csr : "=r"(value_));     \
    value_;                                               \
  })

static inline void read_events(uint64_t events[EVENTS])
{
  events[0] = READ("mhpmcounter3");
  events[1] = READ("mhpmcounter4");
  events[2] = READ("mhpmcounter5");
  events[3] = READ("mhpmcounter6");
  events[4] = READ("mhpmcounter7");
  events[5] = READ("mhpmcounter8");
  events[6] = READ("mhpmcounter9");
  events[7] = READ("mhpmcounter10");
  events[8] = READ("mhpmcounter11");
  events[9] = READ("mhpmcounter12");
}

#else

#include <stdio.h>

#define READ(csr) 0

void console_byte(char byte)
{
  putchar(byte);
}

static inline void read_events(uint64_t events[EVENTS])
{
  for (int i = 0; i < EVENTS; i++)
    events[i] = 0;
}

#endif

void counters_start(struct counters *now)
{
  read_events(now->events);
  now->instructions = READ("minstret");
  now->cycles = READ("mcycle");
}

void counters_stop(struct counters *now)
{
  now->cycles = READ("mcycle");
  now->instructions = READ("minstret");
  read_events(now->events);
}

void counters_print(const struct counters *start, const struct counters *stop)
{
  console_text("counters ");
  console_decimal(stop->cycles - start->cycles);
  console_byte(' ');
  console_decimal(stop->instructions - start->instructions);
  for (int i = 0; i < EVENTS; i++) {
    console_byte(' ');
    console_decimal(stop->events[i] - start->events[i]);
  }
  console_byte('\n');
}

void console_text(const char *text)
{
  while (*text)
    console_byte(*text++);
}

void console_hex(uint64_t value)
{
  console_text("0x");
  for (int shift = 60; shift >= 0; shift -= 4)
    console_byte("0123456789abcdef"[value >> shift & 15]);
}

void console_decimal(uint64_t value)
{
  char text[20];
  int at = sizeof text;
  do {
    text[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  while (at < (int)sizeof text)
    console_byte(text[at++]);
}
