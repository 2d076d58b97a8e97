"""The cases of the attack matrix: location x target x technique, as C functions of one program.

What each technique does is in ``sw/attacks/techniques.c``. Here is which combinations there are, why the
others make no sense, and which fault must stop each: it follows from the contract's rules
(docs/xfides-isa.md, sections 8 and 9), as ``Technique.rule`` says.
"""

from dataclasses import dataclass

__all__ = ["LOCATIONS", "TARGETS", "TECHNIQUES", "Case", "Excluded", "Technique", "all_cases", "cases_source"]

#: Where the object lies that the attack begins with.
LOCATIONS = ("stack", "heap", "bss", "data")

#: What is changed: name -> None (no object), or C type, what it begins as, the word that is changed, what
#: makes the change felt, what it is changed to. ``t`` is a pointer to the object.
_TARGETS = {
    "return address": None,
    "function pointer": ("handler", "*t = harmless_handler;", "t", "(*t)();", "hijack()"),
    "longjmp buffer": ("jmp_buf", "if (setjmp(*t)) return;", "t", "longjmp(*t, 1);", "hijack()"),
    "structure field": (
        "struct account", "t->admin = 0;", "&t->admin", "if (t->admin == NUMBER) went_through();", "NUMBER",
    ),
    "neighbouring object": (
        "numbers", "(*t)[0] = (*t)[1] = 0;", "&(*t)[0]", "if ((*t)[0] == NUMBER) went_through();", "NUMBER",
    ),
}  # fmt: skip
TARGETS = tuple(_TARGETS)
#: What targets in initialised data begin as. All of a jmp_buf, as clang puts partly initialised arrays
#: elsewhere.
_VALUES = {
    "handler": "handler_at_first",
    "jmp_buf": "{[0 ... sizeof(jmp_buf) / sizeof(long long) - 1] = 1}",
    "struct account": "{1, 1}",
    "numbers": "{1, 1}",
}
_RETURN = TARGETS[0]

_STRING_FUNCTIONS = ("memcpy", "memmove", "strcpy", "strncpy", "strcat", "strncat", "sprintf", "snprintf")

_BOUNDS = "the address is outside the entry's object: BOUNDS"
_PLAIN = "a number that is no fat pointer names index 0, which is dead: INVALID"
_DEAD = "revoke has cleared the entry, whose index is not used again: INVALID"
_REUSED = "the index is live again, with another cookie: TEMPORAL"


@dataclass(frozen=True)
class Technique:
    """``form`` is how its cases are built; ``function``: of techniques.c; ``cause``: the fault that must stop
    it; ``rule``: why that one; ``stops_in``: functions, one of which the fault's pc is in."""

    name: str
    form: str
    function: str
    cause: str
    rule: str
    stops_in: tuple[str, ...]


def _overflow(name: str, form: str, function: str, *more: str) -> Technique:
    return Technique(name, form, function, "BOUNDS", _BOUNDS, (function, *more))


TECHNIQUES = (
    _overflow("direct overflow", "up", "direct_overflow"),
    Technique("indirect pointer", "carrier", "indirect", "INVALID", _PLAIN, ("indirect",)),
    _overflow("indirect pointer, lower half", "carrier", "indirect_low_half"),
    _overflow("off by one", "one", "off_by_one"),
    _overflow("underflow", "down", "underflow"),
    *(
        _overflow(f"string function: {name}", "up", f"with_{name}", f"__fides_{name}", f"__fides_v{name}")
        for name in _STRING_FUNCTIONS
    ),
    _overflow("integer overflow of an index", "anywhere", "index_overflow", "store_from"),
    Technique("use after free", "freed", "write_stale", "INVALID", _DEAD, ("write_stale",)),
    Technique(
        "use after free, index used again", "reused", "write_stale", "TEMPORAL", _REUSED, ("write_stale",)
    ),
    Technique("double free", "twice", "free_again", "INVALID", _DEAD, ("free",)),
    Technique("double free, index used again", "twice reused", "free_again", "TEMPORAL", _REUSED, ("free",)),
    Technique(
        "free inside an object", "inside", "free_inside", "NOT_BASE",
        "revoke of an address that is not the entry's base: NOT_BASE", ("free",),
    ),
    Technique(
        "return of a local's address", "local", "write_stale", "TEMPORAL",
        "a later function's local has the index, with another cookie: TEMPORAL; with none, the index is not "
        "below fmark: INVALID",
        ("write_stale",),
    ),
    Technique(
        "uninitialised pointer", "uninitialised", "use_uninitialised", "INVALID", _PLAIN,
        ("use_uninitialised", "use_uninitialised_local", "use_uninitialised_block"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """``number`` is what the program takes as its argument; ``cause``: the fault that must stop it."""

    number: int
    location: str
    target: str
    technique: Technique
    cause: str

    @property
    def name(self) -> str:
        """In words, unique."""
        return f"{self.technique.name} / {self.location} / {self.target}"


@dataclass(frozen=True)
class Excluded:
    """A combination that makes no sense, and why."""

    location: str
    target: str
    technique: str
    reason: str


def _reason(technique: Technique, location: str, target: str) -> str | None:
    """Why there is no such case; None when there is."""
    form = technique.form
    heap_only = form in ("freed", "reused", "twice", "twice reused")
    if heap_only and location != "heap":
        return "only blocks of the heap are freed"
    if (heap_only or form == "inside") and target == _RETURN:
        return "malloc gives out no memory with return addresses"
    if form == "local" and location != "stack":
        return "locals are on the stack"
    if form == "uninitialised" and location in ("bss", "data"):
        return "static pointers are initialised"
    if form in ("up", "down", "one") and target == _RETURN and location != "stack":
        return "return addresses are on the stack, too far away for contiguous writes"
    return None


def _cause(technique: Technique, target: str) -> str:
    # A function whose return address is the target has no local with an entry.
    if technique.form == "local" and target == _RETURN:
        return "INVALID"
    return technique.cause


def all_cases() -> tuple[tuple[Case, ...], tuple[Excluded, ...]]:
    """Every combination: those that are built, numbered from 0, and those that make no sense."""
    cases, excluded = [], []
    for technique in TECHNIQUES:
        for location in LOCATIONS:
            for target in TARGETS:
                reason = _reason(technique, location, target)
                if reason is None:
                    cause = _cause(technique, target)
                    cases.append(Case(len(cases), location, target, technique, cause))
                else:
                    excluded.append(Excluded(location, target, technique.name, reason))
    return tuple(cases), tuple(excluded)


def cases_source(cases: tuple[Case, ...]) -> str:
    """The C file with a function for each of ``cases`` and main(), which calls the one that
    ``program_argument`` names in its lower 16 bits; bit 16: without the error."""
    statics = [_statics(_identifier(target), row[0]) for target, row in _TARGETS.items() if row]
    functions = [_function(case) for case in cases]
    names = ", ".join(f"case_{case.number}" for case in cases)
    return "\n".join([
        '#include "attack.h"',
        "",
        "extern const volatile uint64_t program_argument;",
        "static void handler_at_first(void) { FORGET(); }",
        *(_buffers(section) for section in ("bss", "data")),
        *statics,
        *functions,
        f"static void (*const cases[])(void) = {{{names}}};",
        "int main(void)",
        "{",
        "  uint64_t argument = program_argument;",
        "  harmless = argument >> 16 & 1;",
        "  if ((argument & 0xffff) < sizeof cases / sizeof *cases)",
        "    cases[argument & 0xffff]();",
        "  return SURVIVED;",
        "}",
        "",
    ])  # fmt: skip


def _identifier(target: str) -> str:
    return target.replace(" ", "_")


def _statics(name: str, kind: str) -> str:
    """Objects on both sides of a buffer, in the order of their definitions, in one section."""
    parts = []
    for section in ("bss", "data"):
        place = f'__attribute__((section(".{section}.{name}"), aligned(8)))'
        value = words = ""
        if section == "data":
            value = f" = {_VALUES[kind]}"
            words = " = {1}"
        # Not static: those are laid out in the order of their uses.
        parts += [
            f"{kind} {section}_{name}_before {place}{value};",
            f"long {section}_{name}_buffer[WORDS] {place}{words};",
            f"{kind} {section}_{name}_after {place}{value};",
        ]
    return "\n".join(parts)


def _buffers(section: str) -> str:
    first = " = {1}" if section == "data" else ""
    return "\n".join([
        f"static long {section}_buffer[WORDS]{first};",
        f"static struct carrier {section}_carrier{' = {{1}}' if first else ''};",
        f"static long {section}_large[LARGE_WORDS] __attribute__((aligned(16))){first};",
    ])  # fmt: skip


def _function(case: Case) -> str:
    body = _body(case)
    head = f"/* {case.name} */"
    return "\n".join([head, *body[:-1], f"static NOINLINE void case_{case.number}(void)", "{", body[-1], "}"])


def _block(*lines: str) -> str:
    return "\n".join(f"  {line}" for line in lines if line)


def _objects(case: Case, kind: str) -> list[str]:
    """Two targets on both sides of ``buffer``: ``before`` and ``after``."""
    name = _identifier(case.target)
    match case.location:
        case "stack":
            return [
                f"{kind} a; long b[WORDS]; {kind} c;",
                f"{kind} *before = expose(&a);",
                "long *buffer = expose(b);",
                f"{kind} *after = expose(&c);",
            ]
        case "heap":
            return [
                f"{kind} *before = expose(malloc(sizeof *before));",
                "long *buffer = expose(malloc(BUFFER_BYTES));",
                f"{kind} *after = expose(malloc(sizeof *after));",
            ]
        case section:
            return [
                f"{kind} *before = expose(&{section}_{name}_before);",
                f"long *buffer = expose({section}_{name}_buffer);",
                f"{kind} *after = expose(&{section}_{name}_after);",
            ]


def _place(case: Case, kind: str, name: str, *, words: str = "WORDS") -> list[str]:
    """An object of ``kind`` in the case's location, with the pointer ``name`` to it."""
    static = {"struct carrier": "carrier", "long": "buffer" if words == "WORDS" else "large"}.get(kind)
    array = kind == "long"
    match case.location:
        case "stack":
            # The heap's blocks, one of which may be forged in it, are aligned.
            aligned = "" if words == "WORDS" else " __attribute__((aligned(16)))"
            local = f"long {name}_local[{words}]{aligned};" if array else f"{kind} {name}_local;"
            return [local, f"{kind} *{name} = expose({'' if array else '&'}{name}_local);"]
        case "heap":
            size = f"{words} * sizeof(long)" if array else f"sizeof({kind})"
            return [f"{kind} *{name} = expose(malloc({size}));"]
        case section if static:
            return [f"{kind} *{name} = expose({'' if array else '&'}{section}_{static});"]
        case section:
            return [f"{kind} *{name} = expose(&{section}_{_identifier(case.target)}_after);"]


def _body(case: Case) -> list[str]:
    """Functions before the case's, and at last what is in it."""
    technique, function = case.technique, case.technique.function
    form, returns = technique.form, case.target == _RETURN
    kind, begin, word, felt, value = _TARGETS[case.target] or ("", "", "", "", "hijack()")
    where = "RETURN_SLOT()" if returns else f"address({word})"
    match form:
        case "one" if returns:
            # Nothing but the buffer and the return address in this frame, so that they are neighbours.
            return [_block("long buffer[WORDS];", "off_by_one(buffer, hijack());", "FORGET();")]
        case "up" | "down" if returns:
            call = f"{function}(buffer, RETURN_SLOT(), hijack());"
            if form == "down":
                call = "underflow_return(buffer, hijack());"
            return [_block(*_place(case, "long", "buffer"), call, "FORGET();")]
        case "one" if case.location == "heap":
            return [_block(
                "long *buffer = expose(malloc(BUFFER_BYTES));",
                "long *neighbour = expose(malloc(BUFFER_BYTES));",
                f"{kind} *t = expose(malloc(sizeof *t));",
                begin,
                "off_by_one_header(buffer, neighbour, BUFFER_BYTES, sizeof *t);",
                "long *more = expose(malloc(2 * BUFFER_BYTES));",
                f"write_owned(more, 2 * BUFFER_BYTES, {where}, {value});",
                felt,
            )]  # fmt: skip
        case "up" | "down" | "one":
            call = {"one": "off_by_one_at"}.get(form, function)
            side = "below" if form == "down" else "above"
            return [_block(
                *_objects(case, kind), f"{kind} *t = {side}(before, after, buffer);", begin,
                f"{call}(buffer, {where}, {value});", felt,
            )]  # fmt: skip
        case "carrier" | "anywhere":
            attacker = _place(case, "struct carrier" if form == "carrier" else "long", "buffer")
            attacker += ["buffer->pointer = &decoy;"] if form == "carrier" else []
            target = [] if returns else [*_place(case, kind, "t"), begin]
            return [_block(*attacker, *target, f"{function}(buffer, {where}, {value});", felt, "FORGET();")]
        case "freed" | "reused":
            again = "malloc(sizeof *t)"
            if form == "reused":
                again = f"harmless ? {again} : take_the_place(stale, sizeof *t)"
            return [_block(
                f"long *stale = expose(malloc(sizeof({kind})));", "if (!harmless) free(stale);",
                f"{kind} *t = expose({again});", begin,
                f"{function}(stale, sizeof *t, {where}, {value});", felt,
            )]  # fmt: skip
        case "twice" | "twice reused":
            again = "take_the_place(first, bytes)" if form == "twice reused" else "malloc(bytes)"
            return [_block(
                f"size_t bytes = sizeof({kind});",
                "long *first = expose(malloc(bytes));", "free(first);", f"long *owner = expose({again});",
                f"{function}(first);", f"{kind} *t = expose(malloc(bytes));", begin,
                f"write_owned(owner, bytes, {where}, {value});", felt,
            )]  # fmt: skip
        case "inside":
            return [_block(
                *_place(case, "long", "buffer", words="LARGE_WORDS"), f"{function}(buffer, sizeof({kind}));",
                f"{kind} *t = expose(malloc(sizeof *t));", begin,
                f"write_owned(buffer, LARGE_WORDS * sizeof(long), {where}, {value});", felt,
            )]  # fmt: skip
        case "local":
            target = [] if returns else [f"{kind} object;", f"{kind} *t = expose(&object);", begin]
            call = f"{function}(stale, LARGE_WORDS * sizeof(long), {where}, {value});"
            number = case.number
            return [
                f"static NOINLINE void victim_{number}(long *stale)\n{{",
                _block(*target, call, felt, "FORGET();") + "\n}",
                f"static NOINLINE void below_{number}(long *stale)\n{{",
                _block(f"victim_{number}(stale);", "FORGET();") + "\n}",
                _block("long *stale = leak_local();", f"below_{number}(stale);", "FORGET();"),
            ]
        case "uninitialised":
            target = [] if returns else [*_place(case, kind, "t"), begin]
            left, use = {
                "stack": ("leave_on_stack", "use_uninitialised_local"),
                "heap": ("leave_on_heap", "use_uninitialised_block"),
            }[case.location]
            return [_block(*target, f"{left}({where});", f"{use}({value});", felt, "FORGET();")]
    raise AssertionError(form)
