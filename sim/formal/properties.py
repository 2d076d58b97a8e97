"""The list of properties."""

from .harness import Mutant, Property

__all__ = ["PROPERTIES"]

_CORE = "fides_core.core."

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
                "asks again": Mutant(_CORE + "atomics", "(step == AtomicStep.READ) & ~self.refused",
                                     "((step == AtomicStep.READ) | reading) & ~self.refused"),
            },
        ),
        Property(
            "pmp_pair", "units:PMPPairTop", "bmc", 2, arguments=(4,), quick=True,
            mutants={
                "even word": Mutant(_CORE + "pmp", "Cat(bound.even_below & ~even_before, ",
                                    "Cat(bound.even_below & ~odd_before, "),
            },
        ),
        Property(
            "fetch_match", "fetch:FetchMatchTop", "induction", 1, arguments=("tiny",), quick=True,
            mutants={
                "buffer does not move up": Mutant(_CORE + "fetch", "with m.If(pops | (level == 0)):",
                                                  "with m.If(level == 0):"),
                "keeps the path that was left": Mutant(_CORE + "fetch", "(discard | self.redirect | redo)",
                                                       "(discard | redo)"),
            },
        ),
        Property("add", "instructions:ComputationTop", "bmc", 8, {}, arguments=("add",)),
        Property("logic", "instructions:ComputationTop", "bmc", 8, {}, arguments=("logic",)),
        Property("compare", "instructions:ComputationTop", "bmc", 8, {}, arguments=("compare",)),
        Property("shift", "instructions:ComputationTop", "bmc", 8, {}, arguments=("shift",)),
        Property("control_transfer", "instructions:ControlTransferTop", "bmc", 8, {}),
        Property("load_store", "instructions:LoadStoreTop", "bmc", 8, {}),
        Property("registers", "instructions:RegistersTop", "bmc", 8, {}),
        Property("fetched", "instructions:FetchedTop", "bmc", 10, {}),
        Property("data_bus", "instructions:DataBusTop", "bmc", 8, {}),
        Property("fetch_match_predicted", "fetch:FetchMatchTop", "bmc", 8, {}, arguments=("base",)),
        Property("program_counter", "instructions:ProgramCounterTop", "bmc", 8, {}),
    )
}  # fmt: skip
