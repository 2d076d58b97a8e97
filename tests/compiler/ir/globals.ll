; Pointers to globals come from cells that the linker fills; the linker knows cells and objects by records.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
@object = global [4 x i32] zeroinitializer
@.text = private unnamed_addr constant [3 x i8] c"hi\00"
@elsewhere = external global [0 x i8]
@maybe = extern_weak global i32
@function_pointer = global ptr @callee
@pointer = global ptr getelementptr (i8, ptr @object, i64 8)
@nested = global { i32, [2 x { ptr, i64 }] } { i32 1, [2 x { ptr, i64 }] [{ ptr, i64 } { ptr null, i64 0 }, { ptr, i64 } { ptr @.text, i64 1 }] }
; CHECK: @__fides_constant.text = internal constant [3 x i8]
declare void @callee(ptr)

; CHECK-DAG: @__fides_cell.object = internal externally_initialized constant ptr @object
; CHECK-DAG: { ptr, ptr } { ptr @__fides_cell.object, ptr @object }, section ".fides.pointers"
; CHECK-DAG: { ptr, ptr } { ptr @pointer, ptr @object }, section ".fides.pointers"
; CHECK-DAG: { ptr, ptr } { ptr getelementptr (i8, ptr @nested, i64 24), ptr @__fides_constant.text }, section ".fides.pointers"
; CHECK-NOT: @function_pointer, ptr @callee }
; CHECK-LABEL: define void @pass_on(
; CHECK: %[[FAT:.*]] = load ptr, ptr @__fides_cell.object
; CHECK: call void @callee(ptr %[[FAT]])
define void @pass_on() {
  call void @callee(ptr @object)
  ret void
}

; CHECK-LABEL: @size_elsewhere(
; CHECK: %[[FAT:.*]] = load ptr, ptr @__fides_cell.elsewhere
; CHECK: ".insn i 0x2b, 3, x0, $0, 0 # fides", "r"(ptr %[[FAT]])
define i8 @size_elsewhere() {
  %v = load i8, ptr @elsewhere
  ret i8 %v
}

; CHECK-LABEL: @is_there(
; CHECK: %[[FAT:.*]] = load ptr, ptr @__fides_cell.maybe
; CHECK: icmp ne ptr %[[FAT]], null
define i1 @is_there() {
  %there = icmp ne ptr @maybe, null
  ret i1 %there
}

; CHECK-LABEL: @call_through(
; CHECK: call void @callee(ptr @callee)
define void @call_through() {
  call void @callee(ptr @callee)
  ret void
}
