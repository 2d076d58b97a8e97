; Checks that stand before a loop for all of its rounds.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "riscv64-unknown-elf"
declare void @free_something()

; CHECK-LABEL: @counted(
; CHECK: ".insn i 0x2b, 3, x2, $0, 0 # fides", "r"(ptr %p)
; CHECK: @llvm.umin.i64(i64 {{.*}}, i64 4194305)
; CHECK: ".insn r 0x2b, 2, 0x2, $0, $1, $2 # fides", "=r,r,r"(ptr %p
; CHECK: loop:
; CHECK-NOT: fides
; CHECK: ret void
define void @counted(ptr %p, i64 %n) {
entry:
  %some = icmp ne i64 %n, 0
  br i1 %some, label %before, label %end
before:
  br label %loop
loop:
  %i = phi i64 [ 0, %before ], [ %next, %loop ]
  %q = getelementptr i32, ptr %p, i64 %i
  store i32 1, ptr %q
  %next = add i64 %i, 1
  %more = icmp ne i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

; What is known of an address is not known of the pointer that it is far from: %p + 8 may carry into the cookie.
; CHECK-LABEL: @far(
; CHECK: loop:
; CHECK-NOT: fides
; CHECK: ".insn r 0x2b, 2, 0x40, $0, $1, $2 # fides", "=r,r,r"(ptr %p, i64 8)
; CHECK: ret ptr
define ptr @far(ptr %p, i64 %first, i64 %n) {
entry:
  %start = getelementptr i8, ptr %p, i64 %first
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %q = getelementptr i8, ptr %start, i64 %i
  store i8 1, ptr %q
  %next = add i64 %i, 1
  %more = icmp ne i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  %kept = getelementptr i8, ptr %p, i64 8
  ret ptr %kept
}

; The object may end in the loop.
; CHECK-LABEL: @with_call(
; CHECK: loop:
; CHECK: fides
define void @with_call(ptr %p, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %q = getelementptr i32, ptr %p, i64 %i
  store i32 1, ptr %q
  call void @free_something()
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

; The loop may end before the last address.
; CHECK-LABEL: @with_break(
; CHECK: loop:
; CHECK: ".insn r 0x2b, 2, 0x0
; CHECK: ret void
define void @with_break(ptr %p, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %rest ]
  %q = getelementptr i8, ptr %p, i64 %i
  %v = load i8, ptr %q
  %stop = icmp eq i8 %v, 0
  br i1 %stop, label %end, label %rest
rest:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

; Only some rounds come here.
; CHECK-LABEL: @conditional(
; CHECK: sometimes:
; CHECK: fides
; CHECK: ret void
define void @conditional(ptr %p, i64 %n, i64 %k) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %rest ]
  %when = icmp eq i64 %i, %k
  br i1 %when, label %sometimes, label %rest
sometimes:
  store i8 0, ptr %p
  br label %rest
rest:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

; The same address in every round.
; CHECK-LABEL: @invariant(
; CHECK: entry:
; CHECK: fides
; CHECK: loop:
; CHECK-NOT: fides
; CHECK: ret void
define void @invariant(ptr %p, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %v = load volatile i64, ptr %p
  %next = add i64 %i, %v
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}
