; Functions of the C library are called by the names of those that check.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
declare i64 @strlen(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i32 @setjmp(ptr) returns_twice
@pointer = global ptr @strlen
; CHECK: @pointer = global ptr @__fides_strlen

; CHECK-LABEL: @length(
; CHECK: call i64 @__fides_strlen(ptr %p)
define i64 @length(ptr %p) {
  %n = call i64 @strlen(ptr %p)
  ret i64 %n
}

; CHECK-LABEL: @variable(
; CHECK: call ptr @__fides_memcpy(ptr %p, ptr %q, i64 %n)
; CHECK: call ptr @__fides_memmove(ptr %p, ptr %q, i64 %n)
; CHECK: %[[BYTE:.*]] = zext i8 %c to i32
; CHECK: call ptr @__fides_memset(ptr %p, i32 {{.*}}%[[BYTE]], i64 %n)
define void @variable(ptr %p, ptr %q, i64 %n, i8 %c) {
  call void @llvm.memcpy.p0.p0.i64(ptr %p, ptr %q, i64 %n, i1 false)
  call void @llvm.memmove.p0.p0.i64(ptr %p, ptr %q, i64 %n, i1 false)
  call void @llvm.memset.p0.i64(ptr %p, i8 %c, i64 %n, i1 false)
  ret void
}

; CHECK-LABEL: @constant(
; CHECK: ".insn i 0x2b, 3, x4, $0, 0 # fides", "r"(ptr %p)
; CHECK: ".insn i 0x2b, 3, x4, $0, 0 # fides", "r"(ptr %q)
; CHECK: call void @llvm.memcpy
define void @constant(ptr %p, ptr %q) {
  call void @llvm.memcpy.p0.p0.i64(ptr %p, ptr %q, i64 16, i1 false)
  ret void
}

; The handler is armed again only when it is not, and taken away on the way out.
; CHECK-LABEL: @jump(
; CHECK: %[[SLOTS:.*]] = call i64 @__fides_jump_mark()
; CHECK: %[[ARMED:.*]] = zext i1 %{{.*}} to i64
; CHECK: call i32 @__fides_setjmp(ptr %buffer, i64 %[[ARMED]])
; CHECK: call void @__fides_jump_release(i64 %[[SLOTS]])
; CHECK: br i1
; CHECK: ".insn i 0xb, 3, x0, x0, 0 # fides"
; CHECK: ret i32
define i32 @jump(ptr %buffer) {
  %v = call i32 @setjmp(ptr %buffer) returns_twice
  ret i32 %v
}
