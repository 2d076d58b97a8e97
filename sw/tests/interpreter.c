/* A small machine with memory, jumps and calls. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>

enum op { PUSH, ADD, SUB, JNZ, LOAD, STORE, PRINT, DUP, HALT };

struct machine {
  int64_t stack[16], memory[8];
  unsigned sp, pc;
  const int *code;
};

static int step(struct machine *m)
{
  switch ((enum op)m->code[m->pc++]) {
  case PUSH: m->stack[m->sp++] = m->code[m->pc++]; break;
  case ADD: m->sp--; m->stack[m->sp - 1] += m->stack[m->sp]; break;
  case SUB: m->sp--; m->stack[m->sp - 1] -= m->stack[m->sp]; break;
  case JNZ: if (m->stack[--m->sp]) m->pc = (unsigned)m->code[m->pc]; else m->pc++; break;
  case LOAD: m->stack[m->sp++] = m->memory[m->code[m->pc++]]; break;
  case STORE: m->memory[m->code[m->pc++]] = m->stack[--m->sp]; break;
  case PRINT: printf("%lld ", (long long)m->stack[--m->sp]); break;
  case DUP: m->stack[m->sp] = m->stack[m->sp - 1]; m->sp++; break;
  case HALT: return 0;
  }
  return 1;
}

int main(void)
{
  static const int code[] = {PUSH, 1, STORE, 0, PUSH, 10, STORE, 1, LOAD, 0, DUP, PRINT, DUP, ADD, STORE, 0,
                             LOAD, 1, PUSH, 1, SUB, DUP, STORE, 1, JNZ, 8, HALT};
  struct machine *m = calloc(1, sizeof *m);
  m->code = code;
  while (step(m))
    ;
  printf("\n");
  free(m);
  return 0;
}
