; Locals whose address gets away have an entry from the function's beginning to its end.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
declare void @use(ptr)
declare void @llvm.lifetime.start.p0(i64, ptr)
declare void @llvm.lifetime.end.p0(i64, ptr)
declare ptr @llvm.stacksave.p0()
declare void @llvm.stackrestore.p0(ptr)
declare void @llvm.va_start.p0(ptr)

; CHECK-LABEL: @escapes(
; CHECK: %[[MARK:.*]] = call i64 asm sideeffect "csrr $0, 0x800 # fides"
; CHECK: %[[FAT:.*]] = call ptr asm sideeffect ".insn r 0x2b, 4, 0x0, $0, $1, $2 # fides", "=r,r,r,~{memory}"(ptr %local, i64 12)
; CHECK-NOT: lifetime
; CHECK: call void @use(ptr %[[FAT]])
; CHECK: csrw 0x800, $0 # fides{{.*}}(i64 %[[MARK]])
; CHECK-NEXT: ret i32 1
; CHECK: csrw 0x800, $0 # fides{{.*}}(i64 %[[MARK]])
; CHECK-NEXT: ret i32 2
define i32 @escapes(i1 %which) {
  %local = alloca [3 x i32]
  call void @llvm.lifetime.start.p0(i64 12, ptr %local)
  call void @use(ptr %local)
  call void @llvm.lifetime.end.p0(i64 12, ptr %local)
  br i1 %which, label %one, label %two
one:
  ret i32 1
two:
  ret i32 2
}

; CHECK-LABEL: @stays(
; CHECK-NOT: fides
; CHECK: ret i32
define i32 @stays() {
  %local = alloca i32
  store i32 5, ptr %local
  %v = load i32, ptr %local
  ret i32 %v
}

; Indexed by anything: checked through its fat pointer.
; CHECK-LABEL: @indexed(
; CHECK: %[[FAT:.*]] = call ptr asm sideeffect ".insn r 0x2b, 4
; CHECK: ".insn r 0x2b, 2, 0x0, $0, $1, $2 # fides", "=r,r,r"(ptr %[[FAT]], i64 %i)
define i8 @indexed(i64 %i) {
  %local = alloca [16 x i8]
  %p = getelementptr i8, ptr %local, i64 %i
  %v = load i8, ptr %p
  ret i8 %v
}

; CHECK-LABEL: @stored(
; CHECK: %[[FAT:.*]] = call ptr asm sideeffect ".insn r 0x2b, 4
; CHECK: store ptr %[[FAT]], ptr %place
define void @stored(ptr %place) {
  %local = alloca i64
  store i64 0, ptr %local
  store ptr %local, ptr %place
  ret void
}

; The mark goes with the stack pointer.
; CHECK-LABEL: @variable_length(
; CHECK: %[[SP:.*]] = call ptr @llvm.stacksave
; CHECK: csrr $0, 0x800
; CHECK: shl i64 {{.*}}, 32
; CHECK: %[[BYTES:.*]] = select i1 %{{.*}}, i64 %{{.*}}, i64 16777216
; CHECK: ".insn r 0x2b, 4, 0x0, $0, $1, $2 # fides", "=r,r,r,~{memory}"(ptr %local, i64 %[[BYTES]])
; CHECK: csrw 0x800
; CHECK: call void @llvm.stackrestore
; CHECK: csrw 0x800
; CHECK: ret void
define void @variable_length(i64 %n) {
  %sp = call ptr @llvm.stacksave.p0()
  %local = alloca i32, i64 %n
  call void @use(ptr %local)
  call void @llvm.stackrestore.p0(ptr %sp)
  ret void
}

; CHECK-LABEL: @arguments(
; CHECK: call void @llvm.va_start.p0(ptr %list)
; CHECK: %[[PLAIN:.*]] = load ptr, ptr %list
; CHECK: %[[FAT:.*]] = call ptr asm sideeffect ".insn r 0x2b, 4{{.*}}(ptr %[[PLAIN]], i64 2032)
; CHECK: store ptr %[[FAT]], ptr %list
define void @arguments(i32 %n, ...) {
  %list = alloca ptr
  call void @llvm.va_start.p0(ptr %list)
  ret void
}

; Nothing of the frame is left to a call in the place of the return.
; CHECK-LABEL: @must_tail(
; CHECK: csrw 0x800
; CHECK-NEXT: musttail call void @use(ptr %p)
; CHECK-NEXT: ret void
define void @must_tail(ptr %p) {
  %local = alloca i32
  call void @use(ptr %local)
  musttail call void @use(ptr %p)
  ret void
}
