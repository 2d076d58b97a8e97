/* CoreMark's port to this system: types and configuration (CoreMark's own files are the user's, unchanged).
 * Given by the build: ITERATIONS, CLOCK_HZ, COMPILER_FLAGS, MEM_LOCATION, and one of PERFORMANCE_RUN and
 * VALIDATION_RUN. */
#ifndef CORE_PORTME_H
#define CORE_PORTME_H

#include <stddef.h>
#include <stdint.h>

#define HAS_FLOAT 1 /* in software, after the measurement */
#define HAS_TIME_H 0
#define USE_CLOCK 0
#define HAS_STDIO 1
#define HAS_PRINTF 1

#define COMPILER_VERSION "GCC" __VERSION__

typedef uint8_t ee_u8;
typedef int16_t ee_s16;
typedef uint16_t ee_u16;
typedef int32_t ee_s32;
typedef uint32_t ee_u32;
typedef float ee_f32;
typedef uintptr_t ee_ptr_int;
typedef size_t ee_size_t;
typedef uint64_t CORE_TICKS; /* clock cycles */

/* The next multiple of 4 bytes: where CoreMark puts a matrix. */
#define align_mem(address) ((void *)(((ee_ptr_int)(address) + 3) & ~(ee_ptr_int)3))

#define SEED_METHOD SEED_VOLATILE
#define MEM_METHOD MEM_STATIC
#define MULTITHREAD 1
#define MAIN_HAS_NOARGC 1
#define MAIN_HAS_NORETURN 0

typedef struct {
  ee_u8 portable_id;
} core_portable;

extern ee_u32 default_num_contexts;

void portable_init(core_portable *port, int *argc, char *argv[]);
void portable_fini(core_portable *port);

#endif
