; Every access through a pointer of unknown extent is checked with its size; what is in bounds for sure is not.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
@table = global [10 x i32] zeroinitializer
declare void @use(ptr)

; CHECK-LABEL: @constant_offset(
; CHECK: asm sideeffect ".insn i 0x2b, 3, x3, $0, 8 # fides", "r"(ptr %p)
; CHECK-NEXT: load i64
define i64 @constant_offset(ptr %p) {
  %q = getelementptr i8, ptr %p, i64 8
  %v = load i64, ptr %q
  ret i64 %v
}

; CHECK-LABEL: @variable_offset(
; CHECK: %[[OFFSET:.*]] = shl i64 %i, 1
; CHECK: %[[CHECKED:.*]] = call ptr asm sideeffect ".insn r 0x2b, 2, 0x1, $0, $1, $2 # fides", "=r,r,r"(ptr %p, i64 %[[OFFSET]])
; CHECK: store i16 1, ptr %[[CHECKED]]
define void @variable_offset(ptr %p, i64 %i) {
  %q = getelementptr inbounds i16, ptr %p, i64 %i
  store i16 1, ptr %q
  ret void
}

; An offset that no immediate holds.
; CHECK-LABEL: @far(
; CHECK: asm sideeffect ".insn r 0x2b, 2, 0x0, $0, $1, $2 # fides", "=r,r,r"(ptr %p, i64 4096)
define i8 @far(ptr %p) {
  %q = getelementptr i8, ptr %p, i64 4096
  %v = load i8, ptr %q
  ret i8 %v
}

; 16 bytes are one check, 12 and 100 are a first and a last part.
; CHECK-LABEL: @sizes(
; CHECK: ".insn i 0x2b, 3, x4, $0, 0 # fides", "r"(ptr %a)
; CHECK: ".insn i 0x2b, 3, x3, $0, 0 # fides", "r"(ptr %b)
; CHECK: ".insn i 0x2b, 3, x3, $0, 4 # fides", "r"(ptr %b)
; CHECK: ".insn i 0x2b, 3, x4, $0, 0 # fides", "r"(ptr %c)
; CHECK: ".insn i 0x2b, 3, x4, $0, 84 # fides", "r"(ptr %c)
define void @sizes(ptr %a, ptr %b, ptr %c) {
  %v = load i128, ptr %a
  store i96 0, ptr %b
  call void @llvm.memset.p0.i64(ptr %c, i8 0, i64 100, i1 false)
  ret void
}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; CHECK-LABEL: @atomics(
; CHECK: ".insn i 0x2b, 3, x2, $0, 0 # fides", "r"(ptr %p)
; CHECK: ".insn i 0x2b, 3, x3, $0, 0 # fides", "r"(ptr %q)
define void @atomics(ptr %p, ptr %q) {
  %a = atomicrmw add ptr %p, i32 1 seq_cst
  %b = cmpxchg ptr %q, i64 0, i64 1 seq_cst seq_cst
  ret void
}

; CHECK-LABEL: @in_bounds(
; CHECK-NOT: fides
; CHECK: ret i32
define i32 @in_bounds(i32 %n) {
  %local = alloca [4 x i32]
  %last = getelementptr i8, ptr %local, i64 12
  store i32 1, ptr %last
  %a = load i32, ptr getelementptr inbounds ([10 x i32], ptr @table, i64 0, i64 9)
  %masked = and i32 %n, 7
  %wide = zext i32 %masked to i64
  %p = getelementptr [10 x i32], ptr @table, i64 0, i64 %wide
  %b = load i32, ptr %p
  %c = add i32 %a, %b
  ret i32 %c
}

; One past the end is out of bounds.
; CHECK-LABEL: @past_the_end(
; CHECK: fides
; CHECK: ret i32
define i32 @past_the_end() {
  %a = load i32, ptr getelementptr inbounds ([10 x i32], ptr @table, i64 0, i64 10)
  ret i32 %a
}

; So is an access that begins inside.
; CHECK-LABEL: @across_the_end(
; CHECK: fides
; CHECK: ret i64
define i64 @across_the_end() {
  %a = load i64, ptr getelementptr inbounds ([10 x i32], ptr @table, i64 0, i64 9)
  ret i64 %a
}

; CHECK-LABEL: @assembly_memory_operand(
; CHECK: ".insn i 0x2b, 3, x2, $0, 0 # fides", "r"(ptr %p)
define void @assembly_memory_operand(ptr %p) {
  call void asm sideeffect "nop", "=*m"(ptr elementtype(i32) %p)
  ret void
}
