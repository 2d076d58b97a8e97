/* Memory operands and pointers in registers. */
#include <stdio.h>
#include <stdint.h>

__attribute__((noinline)) static int through_register(int *at)
{
#ifdef __riscv
  int result;
  __asm__ volatile("lw %0, 0(%1)" : "=r"(result) : "r"(at) : "memory");
  return result;
#else
  return *at;
#endif
}

__attribute__((noinline)) static int through_memory(const int *at)
{
#ifdef __riscv
  int result;
  __asm__ volatile("lw %0, %1" : "=r"(result) : "m"(*at));
  return result;
#else
  return *at;
#endif
}

__attribute__((noinline)) static void store(int *at, int value)
{
#ifdef __riscv
  __asm__ volatile("sw %1, %0" : "=m"(*at) : "r"(value));
#else
  *at = value;
#endif
}

int main(void)
{
  int local[2] = {11, 22};
  static int fixed = 33;
  store(&local[0], 44);
  store(&fixed, 55);
  printf("%d %d %d\n", through_register(&local[1]), through_memory(&local[0]), through_memory(&fixed));
  return 0;
}
