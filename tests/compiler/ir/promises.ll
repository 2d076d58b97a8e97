; What holds only for programs without errors proves nothing.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
@table = global [16 x i8] zeroinitializer

; Without overflow %sum would be positive, and %index below 16.
; CHECK-LABEL: @overflow(
; CHECK: ptr @__fides_cell.table
; CHECK: ret i8
define i8 @overflow(i32 %a, i32 %b) {
  %x = and i32 %a, 2147483647
  %y = and i32 %b, 2147483647
  %sum = add nsw i32 %x, %y
  %index = ashr i32 %sum, 27
  %wide = sext i32 %index to i64
  %p = getelementptr inbounds i8, ptr @table, i64 %wide
  %v = load i8, ptr %p
  ret i8 %v
}

; CHECK-LABEL: @range_in_memory(
; CHECK: ptr @__fides_cell.table
; CHECK: ret i8
define i8 @range_in_memory(ptr %p) {
  %i = load i64, ptr %p, !range !0
  %q = getelementptr i8, ptr @table, i64 %i
  %v = load i8, ptr %q
  ret i8 %v
}

; CHECK-LABEL: @assumed(
; CHECK-NOT: assume
; CHECK: ptr @__fides_cell.table
define i8 @assumed(i64 %i) {
  %small = icmp ult i64 %i, 16
  call void @llvm.assume(i1 %small)
  %q = getelementptr i8, ptr @table, i64 %i
  %v = load i8, ptr %q
  ret i8 %v
}
declare void @llvm.assume(i1)

; Copies keep the alignment that chooses their instructions, and nothing else.
; CHECK-LABEL: @copy(
; CHECK: call void @llvm.memcpy.p0.p0.i64(ptr align 8 %to, ptr align 4 %from, i64 56, i1 false)
; CHECK: call void @llvm.memset.p0.i64(ptr align 4 %to, i8 0, i64 32, i1 false)
define void @copy(ptr align 8 %to, ptr %from) {
  call void @llvm.memcpy.p0.p0.i64(ptr noundef nonnull align 8 dereferenceable(56) %to, ptr align 4 %from, i64 56,
                                   i1 false)
  call void @llvm.memset.p0.i64(ptr align 4 %to, i8 0, i64 32, i1 false)
  ret void
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; A caller in another compartment need not extend arguments.
; CHECK-LABEL: define i8 @extended(i8 %i)
define i8 @extended(i8 zeroext %i) {
  ret i8 %i
}

; Nothing is read before it is checked because it is said to be there.
; CHECK-LABEL: define i8 @there(ptr %p)
define i8 @there(ptr dereferenceable(8) nonnull noundef %p) {
  ret i8 0
}

; CHECK-LABEL: @no_default(
; CHECK: unreachable.default:
; CHECK-NEXT: call void @llvm.trap()
; CHECK-NEXT: unreachable
define i32 @no_default(i32 %n) {
  switch i32 %n, label %unreachable.default [ i32 0, label %a
                                            i32 1, label %b ]
a:
  ret i32 5
b:
  ret i32 6
unreachable.default:
  unreachable
}
!0 = !{i64 0, i64 16}
