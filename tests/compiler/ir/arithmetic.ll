; Sums that are kept cannot reach index and cookie.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
declare void @use(ptr)

; CHECK-LABEL: @variable(
; CHECK: %q = call ptr asm ".insn r 0x2b, 2, 0x40, $0, $1, $2 # fides", "=r,r,r"(ptr %p, i64 %i)
; CHECK: call void @use(ptr %q)
define void @variable(ptr %p, i64 %i) {
  %q = getelementptr inbounds i8, ptr %p, i64 %i
  call void @use(ptr %q)
  ret void
}

; A pointer that was never checked may be anywhere.
; CHECK-LABEL: @constant(
; CHECK: 0x40{{.*}}(ptr %p, i64 16)
define ptr @constant(ptr %p) {
  %q = getelementptr inbounds i8, ptr %p, i64 16
  ret ptr %q
}

; This one is close to its object.
; CHECK-LABEL: @after_check(
; CHECK-NOT: 0x40
; CHECK: ret ptr
define ptr @after_check(ptr %p) {
  store i8 0, ptr %p
  %q = getelementptr inbounds i8, ptr %p, i64 16
  ret ptr %q
}

; The check has to have happened.
; CHECK-LABEL: @before_check(
; CHECK: 0x40
define ptr @before_check(ptr %p) {
  %q = getelementptr inbounds i8, ptr %p, i64 16
  call void @use(ptr %q)
  store i8 0, ptr %p
  ret ptr %q
}

; Accesses use the lower half alone.
; CHECK-LABEL: @only_accessed(
; CHECK-NOT: 0x40
; CHECK: ret i8
define i8 @only_accessed(ptr %p, i64 %i) {
  %q = getelementptr i8, ptr %p, i64 %i
  %v = load i8, ptr %q
  ret i8 %v
}

; CHECK-LABEL: @in_integer(
; CHECK: 0x40
define i64 @in_integer(ptr %p, i64 %i) {
  %q = getelementptr i8, ptr %p, i64 %i
  %n = ptrtoint ptr %q to i64
  ret i64 %n
}

; A pointer that steps through memory that is checked at each step.
; CHECK-LABEL: @walk(
; CHECK: loop:
; CHECK-NOT: 0x40
; CHECK: ret void
define void @walk(ptr %p) {
entry:
  store i8 1, ptr %p
  br label %loop
loop:
  %at = phi ptr [ %p, %entry ], [ %next, %loop ]
  %next = getelementptr i8, ptr %at, i64 1
  %v = load i8, ptr %next
  %more = icmp ne i8 %v, 0
  br i1 %more, label %loop, label %end
end:
  ret void
}
