"""The list of properties."""

from .harness import Mutant, Property

__all__ = ["PROPERTIES"]

_CORE = "fides_core.core."
_STACK = "fides_core.security.shadow_stack"
_POINTER = "fides_core.security.fat_pointer"
_CHECK = "fides_core.security.capability_check"
_EXTENSION = "fides_core.security.extension"

PROPERTIES = {
    item.name: item
    for item in (
        Property(
            "reservation", "units:ReservationTop", "induction", 1, quick=True,
            mutants={
                "sc keeps it": Mutant(_CORE + "atomics", "valid.eq(0)", "valid.eq(valid)"),
            },
        ),
        Property(
            "atomics", "units:AtomicsTop", "induction", 2, quick=True,
            mutants={
                "asks again": Mutant(_CORE + "atomics", "((step == AtomicStep.READ) | self.we)",
                                     "((step == AtomicStep.READ) | reading | self.we)"),
                "not judged": Mutant(_CORE + "atomics", "Mux(self.refused, AtomicStep.FAULT, ", "("),
            },
        ),
        Property(
            "pmp_pair", "units:PMPPairTop", "bmc", 2, arguments=(4,), quick=True,
            mutants={
                "even word": Mutant(_CORE + "pmp", "Cat(even_below & ~even_before, ",
                                    "Cat(even_below & ~odd_before, "),
            },
        ),
        Property(
            "fetch_match", "fetch:FetchMatchTop", "induction", 1, arguments=("tiny",), quick=True,
            mutants={
                "buffer does not move up": Mutant(_CORE + "fetch", "with m.If(pops | (level == 0)):",
                                                  "with m.If(level == 0):"),
                "keeps the path that was left": Mutant(_CORE + "fetch", "(discard | self.redirect | redo)",
                                                       "(discard | redo)"),
                "keeps a stashed half": Mutant(_CORE + "fetch", "m.d.sync += stashed.eq(0)",
                                               "m.d.sync += stashed.eq(stashed)"),
            },
        ),
        Property(
            "registers", "instructions:RegistersTop", "bmc", 10, quick=True,
            mutants={
                "does not wait for loads": Mutant(_CORE + "decode", "Mux(match, missing, not_ready)",
                                                  "0"),
            },
        ),
        Property(
            "csr", "csrs:CSRTop", "bmc", 8, quick=True,
            mutants={
                "set clears": Mutant(_CORE + "counters", "self.rdata | self.operand",
                                     "self.rdata & ~self.operand"),
                "csrrs with x0 writes": Mutant(_CORE + "decoder", "is_csr & ~self.csr_write",
                                               "0 & ~self.csr_write"),
                "forgets": Mutant(_CORE + "csr", "memory.write.eq(self.m_write & writable)",
                                  "memory.write.eq(0 & self.m_write & writable)", nightly=True),
                "another register": Mutant(_CORE + "rvfi", "named.eq(access & (number == each))",
                                           "named.eq(access & (number[1:] == each >> 1))"),
            },
        ),
        Property(
            "program_counter", "instructions:ProgramCounterTop", "bmc", 10, quick=True,
            mutants={
                "overlooks short jumps": Mutant(_CORE + "execute", "address[1:] == self.next_pc[1:]",
                                                "address[3:] == self.next_pc[3:]"),
            },
        ),
        Property(
            "shadow_stack", "shadow_stack:ShadowStackTop", "induction", 2, quick=True,
            mutants={
                "top ready at once": Mutant(_STACK, "self.top_ready.eq(~changed)", "self.top_ready.eq(1)"),
                "writes when full": Mutant(
                    _STACK,
                    "push.en.eq(self.x_write & ~self.full & ~self.machine)",
                    "push.en.eq(self.x_write & ~self.machine)",
                ),
                "forgets the kind": Mutant(_STACK, "frame.kind.eq(self.x_kind)", "frame.kind.eq(0)"),
                "half of the target": Mutant(
                    _STACK, "Cat(self.x_target[32:], self.x_sp[32:]) != 0", "self.x_sp[32:] != 0",
                ),
                "full one late": Mutant(
                    _STACK,
                    "self.full.eq((same_slot & self.present)",
                    "self.full.eq((same_slot & self.present & depth[4])",
                ),
                "pops none": Mutant(_STACK, "Cat(1, (~self.x_grows).replicate(15))", "Cat(1, Const(0, 15))"),
            },
        ),
        Property(
            "fat_pointer", "fat_pointer:FatPointerTop", "induction", 2, quick=True, mutant_depth=12,
            mutants={
                "as if one byte": Mutant(
                    _POINTER, "last.eq(address + ((1 << self.m_size) - 1)[:4])", "last.eq(address)",
                ),
                "far below the object": Mutant(_POINTER, "(offset[24:] == 0) & ~left[25]", "~left[25]"),
                "any cookie": Mutant(
                    _POINTER, "entry[:8] != self.m_pointer[32:40]", "entry[:7] != self.m_pointer[32:39]",
                ),
                "cookie 0": Mutant(_POINTER, "lfsr[0] | (lfsr[:8] == 0)", "lfsr[0]"),
                "cookie moves on": Mutant(_POINTER, "with m.If(~is_mint | self.x_fire):", "with m.If(1):"),
                "mint over a live entry": Mutant(_POINTER, "Mux(size != 0, MemoryFault.INVALID, 0)", "0"),
                "revoke in the stack zone": Mutant(
                    _POINTER, "(pointed == 0) | (in_zone & in_table)", "pointed == 0",
                ),
                "raises the mark": Mutant(_POINTER, "self.machine | below_mark", "1"),
                "above the mark": Mutant(
                    _POINTER,
                    "(~Mux(sets_mark, datum, pointed))[:16])[16]",
                    "(~Mux(sets_mark, datum, pointed))[:16] + 1)[16]",
                ),
                "objects that end at 2^32": Mutant(_POINTER, "(carry & (self.x_total[:32] != 0))", "carry"),
                "forgets the reason": Mutant(
                    _POINTER, "reason.eq(Mux(self.response_error, 0, late))", "reason.eq(0)",
                ),
                "with checks off": Mutant(
                    _POINTER, "active.eq(self.x_active & ~self.x_block & ", "active.eq(~self.x_block & ",
                ),
            },
        ),
        Property(
            "capability_check", "capability_check:CapabilityCheckTop", "induction", 2, quick=True,
            mutant_depth=12,
            mutants={
                "ranges in spite of LOCK": Mutant(
                    _CHECK,
                    "write.en.eq(self.window.write & ~self.window.locked & (self.window.item == item))",
                    "write.en.eq(self.window.write & (self.window.item == item))",
                ),
                "one range for two": Mutant(
                    _CHECK, "write.addr.eq(self.window.number)", "write.addr.eq(self.window.number[1:])",
                ),
                "another word of the matrix": Mutant(
                    _CHECK, "Cat(self.x_cid[6 : 6 + word_bits], ", "Cat(~self.x_cid[6 : 6 + word_bits], ",
                ),
                "one row for all": Mutant(
                    _CHECK, "Cat(item_word, self.window.number[:cid_bits])", "Cat(item_word, context.cid)",
                ),
                "obstacles before the matrix": Mutant(
                    _CHECK, "with m.Elif(foreign & ~allowed):",
                    "with m.Elif(foreign & ~allowed & (self.x_obstacle == 0)):",
                ),
                "range of the caller": Mutant(
                    _CHECK, "with m.Elif(foreign & ~in_current):", "with m.Elif(0):",
                ),
                "half of currcom": Mutant(_CHECK, "registers.wdata[:cid_bits]", "registers.wdata[:4]"),
                "bounds in spite of LOCK": Mutant(
                    _CHECK,
                    "with m.If(registers.write & ~self.window.locked):",
                    "with m.If(registers.write):",
                ),
                "range comes late": Mutant(_CHECK, "with m.If(self.restore_read):", "with m.If(0):"),
            },
        ),
        Property(
            "compartments", "compartments:CompartmentsTop", "induction", 4, quick=True, mutant_depth=7,
            nightly_mutants=True,
            mutants={
                "any compartment": Mutant(_CHECK, "with m.Elif(foreign & ~allowed):", "with m.Elif(0):"),
                "pad anywhere": Mutant(_CHECK, "with m.Elif(foreign & ~in_current):", "with m.Elif(0):"),
                "restricted fluid calls": Mutant(
                    _CHECK, "with m.Elif(foreign & context.restricted):", "with m.Elif(0):",
                ),
                "local pads": Mutant(_CHECK, "with m.Elif(self.x_local & ~in_current):", "with m.Elif(0):"),
                "pads with the own cid": Mutant(
                    _CHECK,
                    "~self.x_home & ~self.x_handler & ~self.x_wait",
                    "~self.x_home & ~self.x_handler & ~self.x_pad",
                ),
                "crosses at home": Mutant(_CHECK, "judging & ~at_home", "judging"),
                "returns with any sp": Mutant(_STACK, "(self.top.sp == self.x_sp[:32])", "1"),
                "returns to handlers": Mutant(
                    _EXTENSION,
                    "stack.present & stack.matches & ~stack.top.kind",
                    "stack.present & stack.matches",
                ),
                "unwinds to calls": Mutant(
                    _EXTENSION, "found.eq(stack.matches & stack.top.kind)", "found.eq(stack.matches)",
                ),
                "pops behind a trap": Mutant(
                    _EXTENSION,
                    "committed.eq(checked & self.x_commit)",
                    "committed.eq(checked & self.x_advance)",
                ),
                "U-mode writes currcom": Mutant(
                    _CORE + "csr",
                    "self.machine | (self.number[8:10] == 0)",
                    "self.machine | (self.number[8] == 1)",
                ),
                "forgets the caller": Mutant(
                    _EXTENSION, "stack.x_context.eq(check.context)", "stack.x_context.eq(0)",
                ),
                "another entry": Mutant(
                    _CORE + "execute",
                    "Cat(Const(0, 3), security.index, Const(0, 45))",
                    "Cat(Const(0, 4), security.index, Const(0, 44))",
                ),
                "revoke leaves the base": Mutant(_POINTER, "self.x_set.eq(is_mint)", "self.x_set.eq(1)"),
                "asks behind a trap": Mutant(
                    _CORE + "execute",
                    "(table_request & ~refused & valid & self.m_ready)) & ~self.kill",
                    "(table_request & ~refused & valid & self.m_ready))",
                ),
                "with checks off": Mutant(
                    _EXTENSION, "self.x_judge & pointers_on & user", "self.x_judge & user",
                ),
                "val writes": Mutant(
                    _POINTER, "self.x_we.eq(~is_val & storing)", "self.x_we.eq(is_val | storing)",
                ),
            },
        ),
        Property(
            "compartments_late", "compartments:CompartmentsTop", "induction", 4, arguments=("late",),
            mutant_depth=7,
            mutants={
                "does not wait for a verdict": Mutant(
                    _EXTENSION,
                    "with m.If(checked & (is_pad | is_return | is_arm | is_disarm) & self.m_checking):",
                    "with m.If(0):",
                ),
                "unwinds behind a val": Mutant(
                    _CORE + "memory",
                    "~self.valid & ~self.w_fault if late_verdict else ~self.valid",
                    "~self.valid",
                ),
                "keeps what is behind a val": Mutant(
                    _CORE + "memory",
                    "self.valid & ~self.w_fault if late_verdict else self.valid",
                    "self.valid",
                ),
            },
        ),
        Property(
            "trap_entry", "trap_entry:TrapEntryTop", "induction", 4, mutant_depth=7,
            mutants={
                "another address": Mutant(
                    _EXTENSION, "pointer.m_pointer.eq(self.m_result)", "pointer.m_pointer.eq(self.x_total)",
                ),
                "val that fails goes on": Mutant(
                    _CORE + "memory",
                    "traps = settled & (decided | bus_error | self.security_fault)",
                    "traps = settled & (decided | bus_error)",
                ),
                "reason of the one before": Mutant(
                    _EXTENSION,
                    "with m.If(own_trap & (reason != 0)):",
                    "with m.If(own_trap & (recorded != 0)):",
                ),
                "no pointer with INVALID": Mutant(
                    _EXTENSION,
                    "memory_fault & (recorded == MemoryFault.EXHAUSTED)",
                    "memory_fault & (recorded == MemoryFault.INVALID)",
                ),
                "pc as of the next": Mutant(
                    _CORE + "memory", "self.trap_value.eq(current.pc)", "self.trap_value.eq(current.result)",
                ),
            },
        ),
        Property(
            "trap_entry_late", "trap_entry:TrapEntryTop", "induction", 4, arguments=("late",), mutant_depth=7,
            mutants={
                "keeps what is behind a val": Mutant(
                    _CORE + "memory",
                    "self.valid & ~self.w_fault if late_verdict else self.valid",
                    "self.valid",
                ),
                "withdraws nothing": Mutant(
                    _CORE + "core", "self.withdraw.eq(extension.w_fault)", "self.withdraw.eq(0)",
                ),
                "withdraws behind any trap": Mutant(
                    _CORE + "core", "self.withdraw.eq(extension.w_fault)", "self.withdraw.eq(memory.trap)",
                ),
                "val that fails goes on": Mutant(
                    _CORE + "memory",
                    "traps | self.w_fault if late_verdict else traps",
                    "traps",
                ),
                "fails with a bus error, too": Mutant(
                    _EXTENSION, "pointer.m_fault & ~self.response_error & ~self.w_fault", "pointer.m_fault",
                ),
                "records no val": Mutant(
                    _CORE + "memory",
                    "settled & (decided | bus_error | self.judged)",
                    "settled & (decided | bus_error)",
                ),
                "cause of the val": Mutant(
                    _CORE + "memory",
                    "self.judged if late_verdict else self.security_fault",
                    "self.security_fault",
                ),
                "reason of execute": Mutant(_EXTENSION, "cause.eq(pointer.w_reason)", "cause.eq(recorded)"),
                "writes rd": Mutant(
                    _CORE + "core",
                    "w.write & ~memory.w_fault if config.late_verdict else w.write",
                    "w.write",
                ),
                "counts a val that fails": Mutant(
                    _CORE + "csr", "counts = retired & ~self.unretire", "counts = retired",
                ),
                "records in M-mode": Mutant(
                    _CORE + "csr", "with m.If(self.record):", "with m.If(self.retire | self.record):",
                ),
            },
        ),
        Property(
            "checks_off", "equivalence:ChecksOffTop", "induction", 2, mutant_depth=9,
            mutants={
                "masks addresses": Mutant(
                    _EXTENSION, "self.x_mask_addresses.eq(pointers_on & user)", "self.x_mask_addresses.eq(1)",
                ),
                "judges with checks off": Mutant(
                    _EXTENSION, "checked.eq(self.x_judge & enabled)", "checked.eq(self.x_judge)",
                ),
                "addresses of the table": Mutant(
                    _CORE + "execute",
                    "table_op = security.table_op if xfides else Const(0)",
                    "table_op = Const(1) if xfides else Const(0)",
                ),
                "stores what mint stores": Mutant(
                    _CORE + "execute", "lanes.table.eq(table_op)", "lanes.table.eq(1)",
                ),
            },
        ),
        Property(
            "fetched", "instructions:FetchedTop", "bmc", 12,
            mutants={
                "one half of a group": Mutant(_CORE + "fetch", "low.eq(head.words.word_select(at, 16))",
                                              "low.eq(head.words.word_select(at & 1, 16))"),
            },
        ),
        Property(
            "fetch_match_predicted", "fetch:FetchMatchTop", "bmc", 7, arguments=("base",),
            mutants={
                "trusts what ends early": Mutant(_CORE + "fetch", "redo.eq(head_valid & at_start",
                                                 "redo.eq(0 & at_start"),
            },
        ),
        Property(
            "add", "instructions:ComputationTop", "bmc", 8, arguments=("add",),
            mutants={
                "a bit of lui": Mutant(_CORE + "decoder", "Cat(Const(0, 12), insn[12:32]).as_signed()",
                                         "Cat(Const(0, 12), insn[12:31]).as_signed()"),
                "no carry-in": Mutant(_CORE + "alu", "Cat(1, first) +", "Cat(0, first) +"),
            },
        ),
        Property(
            "logic", "instructions:ComputationTop", "bmc", 8, arguments=("logic",),
            mutants={
                "or is exclusive": Mutant(_CORE + "alu", "a | second", "a ^ second"),
            },
        ),
        Property(
            "compare", "instructions:ComputationTop", "bmc", 10, arguments=("compare",),
            mutants={
                "unsigned is not": Mutant(_CORE + "alu", "Mux(control.unsigned, b[63], a[63])", "a[63]"),
            },
        ),
        Property(
            "shift_left", "instructions:ComputationTop", "bmc", 8, arguments=("shift_left",),
            mutants={
                "words by 63": Mutant(_CORE + "alu", "b[5] & ~control.word)),\n        ]",
                                      "b[5])),\n        ]"),
            },
        ),
        Property(
            "shift_right", "instructions:ComputationTop", "bmc", 7, arguments=("shift_right",),
            mutants={
                "not arithmetic": Mutant(_CORE + "alu", "sign = control.arithmetic &",
                                         "sign = 0 & control.arithmetic &"),
            },
        ),
        Property(
            "control_transfer", "instructions:ControlTransferTop", "bmc", 9,
            mutants={
                "a bit of the offset": Mutant(_CORE + "decoder", "insn[25:31], insn[7], insn[31])",
                                              "insn[25:31], insn[31], insn[31])"),
                "bge is blt": Mutant(_CORE + "execute", "alu.less, alu.equal) ^ control.funct3[0]",
                                     "alu.less, alu.equal ^ control.funct3[0])"),
            },
        ),
        Property(
            "load_store", "instructions:LoadStoreTop", "bmc", 8,
            mutants={
                "odd halfwords": Mutant(_CORE + "load_store", "half.word_select(self.offset[1], 16)",
                                        "half.word_select(0, 16)"),
                "any alignment": Mutant(_CORE + "load_store", "((1 << size) - 1)) != 0", "0) != 0"),
            },
        ),
        Property(
            "data_bus", "instructions:DataBusTop", "bmc", 12,
            mutants={
                "asks behind a trap": Mutant(_CORE + "execute", "valid & self.m_ready)) & ~self.kill",
                                             "valid & self.m_ready))"),
            },
        ),
    )
}  # fmt: skip
