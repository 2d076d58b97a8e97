/* The UART, the exit device, and text. */
#include "monitor.h"
#include "platform.h"

static volatile uint32_t *device(uint64_t address)
{
  return (volatile uint32_t *)address;
}

void console_bytes(const char *bytes, uint64_t count)
{
  for (uint64_t i = 0; i < count; i++) {
    while (*device(UART_BASE + UART_STATUS) & UART_STATUS_TX_FULL) {
    }
    *device(UART_BASE + UART_TRANSMIT) = (uint8_t)bytes[i];
  }
}

void console_text(const char *text)
{
  uint64_t length = 0;
  while (text[length])
    length++;
  console_bytes(text, length);
}

void console_hex(uint64_t value)
{
  char text[18] = "0x";
  for (int digit = 0; digit < 16; digit++)
    text[2 + digit] = "0123456789abcdef"[value >> (60 - 4 * digit) & 15];
  console_bytes(text, sizeof text);
}

void console_decimal(uint64_t value)
{
  char text[20];
  int at = sizeof text;
  do {
    text[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  console_bytes(text + at, sizeof text - at);
}

_Noreturn void platform_exit(uint32_t code)
{
  while (!(*device(UART_BASE + UART_STATUS) & UART_STATUS_TX_EMPTY)) {
  }
  *device(EXIT_BASE) = code;
  for (;;)
    __asm__ volatile("wfi");
}
