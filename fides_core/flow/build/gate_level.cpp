// Runs a board's netlist until its UART has sent some lines, or for some cycles:
//   gates LINES MAX_CYCLES DIVISOR
// What came out goes to standard output, the number of cycles to standard error.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vboard_top.h"
#include "verilated.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  int lines = std::atoi(argv[1]);
  const uint64_t max_cycles = std::strtoull(argv[2], nullptr, 10);
  const unsigned bit = 16 * std::atoi(argv[3]);  // cycles
  VerilatedContext context;
  Vboard_top top(&context);
  top.uart_rx = 1;
  top.reset = 0;
  unsigned count = 0, bits = 0, shift = 0;
  uint64_t cycle = 0;
  for (; cycle < max_cycles && lines > 0 && !context.gotFinish(); ++cycle) {
    top.clock = 0;
    top.eval();
    top.clock = 1;
    top.eval();
    if (bits == 0) {
      if (!top.uart_tx) {  // a start bit; the first data bit is sampled in its middle
        bits = 9;
        count = bit + bit / 2;
      }
    } else if (--count == 0) {
      count = bit;
      if (--bits == 0) {
        if (!top.uart_tx) {
          std::fprintf(stderr, "framing error in cycle %llu\n", (unsigned long long)cycle);
          return 1;
        }
        const int character = shift & 0xff;
        std::putchar(character);
        if (character == '\n') --lines;
      } else {
        shift = shift >> 1 | (top.uart_tx ? 0x80 : 0);
      }
    }
  }
  std::fprintf(stderr, "%llu cycles\n", (unsigned long long)cycle);
  return 0;
}
