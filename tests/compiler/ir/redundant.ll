; Checks that earlier ones say already, and what ends their validity.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
declare void @free_something()
declare void @frees_nothing() nofree
@table = external global [0 x i32]

; CHECK-LABEL: @twice(
; CHECK-COUNT-1: fides
; CHECK-NOT: fides
; CHECK: ret i64
define i64 @twice(ptr %p) {
  %a = load i64, ptr %p
  store i64 0, ptr %p
  ret i64 %a
}

; CHECK-LABEL: @part(
; CHECK: ".insn i 0x2b, 3, x3, $0, 0 # fides"
; CHECK-NOT: fides
; CHECK: ret i8
define i8 @part(ptr %p) {
  %a = load i64, ptr %p
  %q = getelementptr i8, ptr %p, i64 7
  %b = load i8, ptr %q
  ret i8 %b
}

; Two of 8 bytes become one of 16, which comes first.
; CHECK-LABEL: @joined(
; CHECK: ".insn i 0x2b, 3, x4, $0, 0 # fides"
; CHECK-NOT: fides
; CHECK: ret void
define void @joined(ptr %p) {
  store i64 1, ptr %p
  %q = getelementptr i8, ptr %p, i64 8
  store i64 2, ptr %q
  ret void
}

; CHECK-LABEL: @call_between(
; CHECK: fides
; CHECK: call void @free_something
; CHECK: fides
; CHECK: ret i64
define i64 @call_between(ptr %p) {
  store i64 1, ptr %p
  call void @free_something()
  %a = load i64, ptr %p
  ret i64 %a
}

; CHECK-LABEL: @harmless_call(
; CHECK: fides
; CHECK: call void @frees_nothing
; CHECK-NOT: fides
; CHECK: ret i64
define i64 @harmless_call(ptr %p) {
  store i64 1, ptr %p
  call void @frees_nothing()
  %a = load i64, ptr %p
  ret i64 %a
}

; What comes after a call may not come at all: its check stays behind.
; CHECK-LABEL: @not_before_call(
; CHECK: ".insn i 0x2b, 3, x3, $0, 0 # fides"
; CHECK: call void @frees_nothing
; CHECK: fides
; CHECK: ret i64
define i64 @not_before_call(ptr %p) {
  store i64 1, ptr %p
  call void @frees_nothing()
  %q = getelementptr i8, ptr %p, i64 8
  %a = load i64, ptr %q
  ret i64 %a
}

; Globals never end.
; CHECK-LABEL: @static(
; CHECK: fides
; CHECK: call void @free_something
; CHECK-NOT: fides
; CHECK: ret i32
define i32 @static() {
  store i32 1, ptr @table
  call void @free_something()
  %a = load i32, ptr @table
  ret i32 %a
}

; CHECK-LABEL: @both_ways(
; CHECK: left:
; CHECK: fides
; CHECK: right:
; CHECK: fides
; CHECK: end:
; CHECK-NOT: fides
; CHECK: ret i64
define i64 @both_ways(ptr %p, i1 %which) {
  br i1 %which, label %left, label %right
left:
  store i64 1, ptr %p
  br label %end
right:
  store i64 2, ptr %p
  br label %end
end:
  %a = load i64, ptr %p
  ret i64 %a
}

; CHECK-LABEL: @one_way(
; CHECK: left:
; CHECK: fides
; CHECK: end:
; CHECK: fides
; CHECK: ret i64
define i64 @one_way(ptr %p, i1 %which) {
  br i1 %which, label %left, label %end
left:
  store i64 1, ptr %p
  br label %end
end:
  %a = load i64, ptr %p
  ret i64 %a
}

; Another pointer with the same base and another index.
; CHECK-LABEL: @other_index(
; CHECK: fides
; CHECK: fides
; CHECK: ret void
define void @other_index(ptr %p, i64 %i, i64 %j) {
  %a = getelementptr i8, ptr %p, i64 %i
  %b = getelementptr i8, ptr %p, i64 %j
  store i8 1, ptr %a
  store i8 1, ptr %b
  ret void
}
