/* Crossings in software: what the trap vector (crossing.S) and C (crossings.c) share. */
#ifndef CROSSINGS_H
#define CROSSINGS_H

#include "xfides.h"

/* Offsets into the area that mscratch points to while U-mode runs. */
#define AREA_T0 0
#define AREA_T1 8
#define AREA_T2 16
#define AREA_T3 24
#define AREA_TOP 32              /* address of the top entry of the shadow stack */
#define AREA_LAST 40             /* the highest that may become */
#define AREA_GATE 48             /* address that callees return to */
#define AREA_RESTRICTED_START 56 /* bounds of restricted fluid code */
#define AREA_RESTRICTED_END 64
#define AREA_ROWS 128            /* a row for each context, unrestricted and then restricted */

/* A row: the range that the context's cid has, as in CSR_COMRANGE, and whom it may call without further questions. */
#define ROW_SHIFT 6
#define ROW_RANGE 0
#define ROW_START 0
#define ROW_END 4
#define ROW_ALLOWED 8
#define ROWS (2 * MAX_COMPARTMENTS)

/* An entry of the shadow stack. In its context bit 31 is the kind, so that the word of a handler's is negative. */
#define ENTRY_RA 0
#define ENTRY_SP 8
#define ENTRY_CONTEXT 16
#define ENTRY_FMARK 20
#define ENTRY_BYTES 24
#define ENTRIES 4096

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct crossing_entry {
  uint64_t ra, sp;
  int32_t context;
  uint32_t fmark;
};

struct crossing_row {
  uint32_t start, end;
  uint64_t allowed[MAX_COMPARTMENTS / 64];
  uint64_t unused[3];
};

struct crossing_area {
  uint64_t saved[4];
  struct crossing_entry *top, *last;
  uint64_t gate;
  uint64_t restricted_start, restricted_end;
  uint64_t unused[7];
  struct crossing_row row[ROWS];
};

#define CHECK_OFFSET(type, member, offset) _Static_assert(offsetof(struct type, member) == (offset), #member)
CHECK_OFFSET(crossing_area, top, AREA_TOP);
CHECK_OFFSET(crossing_area, last, AREA_LAST);
CHECK_OFFSET(crossing_area, gate, AREA_GATE);
CHECK_OFFSET(crossing_area, restricted_start, AREA_RESTRICTED_START);
CHECK_OFFSET(crossing_area, restricted_end, AREA_RESTRICTED_END);
CHECK_OFFSET(crossing_area, row, AREA_ROWS);
CHECK_OFFSET(crossing_row, start, ROW_START);
CHECK_OFFSET(crossing_row, end, ROW_END);
CHECK_OFFSET(crossing_row, allowed, ROW_ALLOWED);
CHECK_OFFSET(crossing_entry, ra, ENTRY_RA);
CHECK_OFFSET(crossing_entry, sp, ENTRY_SP);
CHECK_OFFSET(crossing_entry, context, ENTRY_CONTEXT);
CHECK_OFFSET(crossing_entry, fmark, ENTRY_FMARK);
_Static_assert(sizeof(struct crossing_entry) == ENTRY_BYTES, "size of an entry");
_Static_assert(sizeof(struct crossing_row) == 1 << ROW_SHIFT, "size of a row");
#endif

#endif
