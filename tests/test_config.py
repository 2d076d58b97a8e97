"""Configurations that contradict themselves are refused, with the reason; the limits themselves are not."""

import pytest

from fides_core.config import (
    ABLATIONS,
    PRESETS,
    CacheConfig,
    CoreConfig,
    PredictorConfig,
    SoCConfig,
    XfidesConfig,
    preset,
)

REFUSED = [
    (CacheConfig, {"size": 512}, "1024..65536 bytes, not 512"),
    (CacheConfig, {"size": 3 << 12}, "power of two in 1024..65536"),
    (CacheConfig, {"size": 128 << 10}, "power of two in 1024..65536"),
    (CacheConfig, {"ways": 3}, "1, 2 or 4 ways, not 3"),
    (CacheConfig, {"ways": 0}, "1, 2 or 4 ways, not 0"),
    (CacheConfig, {"line": 128}, "16, 32 or 64 bytes, not 128"),
    (PredictorConfig, {"btb_entries": 64}, "btb_entries must be a power of two in 128..4096, not 64"),
    (PredictorConfig, {"btb_entries": 1000}, "btb_entries must be a power of two"),
    (PredictorConfig, {"history": 17}, "history must be in 0..16 bits, not 17"),
    (PredictorConfig, {"history": -1}, "history must be in 0..16 bits"),
    (PredictorConfig, {"counters": 256}, "counters must be a power of two in 512..16384, not 256"),
    (PredictorConfig, {"return_stack": 1}, "return_stack must be 0 or a power of two in 2..32, not 1"),
    (PredictorConfig, {"return_stack": 12}, "return_stack must be 0 or a power of two"),
    (XfidesConfig, {"compartments": 512}, "compartments must be 0 or a power of two in 2..256, not 512"),
    (XfidesConfig, {"compartments": 1}, "compartments must be 0 or a power of two"),
    (XfidesConfig, {"shadow_stack_entries": 8}, "shadow_stack_entries must be a power of two in 16..32768"),
    (XfidesConfig, {"compartments": 0, "fat_pointers": False}, "is the base core: use None"),
    (XfidesConfig, {"shadow_stack_entries": 0}, "shadow_stack_entries must be a power of two in 16..32768"),
    (XfidesConfig, {"crossings": "software"}, "by the hardware or the monitor, not 'software'"),
    (XfidesConfig, {"crossings": "monitor"}, "shadow_stack_entries must be 0, not 512"),
    (XfidesConfig, {"crossings": "monitor", "compartments": 0, "shadow_stack_entries": 0}, "no crossings"),
    (CoreConfig, {"reset_vector": 0x1002}, "reset_vector 0x1002 is not a 4-byte aligned"),
    (CoreConfig, {"reset_vector": 1 << 32}, "is not a 4-byte aligned 32-bit address"),
    (CoreConfig, {"pmp_entries": 5}, "pmp_entries must be 0, 4, 8 or 16, not 5"),
    (CoreConfig, {"hart_id": -1}, "hart_id must not be negative"),
    (CoreConfig, {"hpm_counters": 14}, "hpm_counters must be in 0..13, not 14"),
    (CoreConfig, {"icache": None}, "both caches, or tightly-coupled memory"),
    (CoreConfig, {"dcache": None}, "both caches, or tightly-coupled memory"),
    (CoreConfig, {"rvfi_csrs": True}, "rvfi_csrs needs rvfi"),
    (SoCConfig, {"memory_bytes": 2048}, "memory_bytes must be a power of two in 4096"),
    (SoCConfig, {"memory_bytes": 5000}, "memory_bytes must be a power of two"),
    (SoCConfig, {"uart_divisor": 0}, "uart_divisor must be in 1..65535, not 0"),
    (SoCConfig, {"uart_divisor": 1 << 16}, "uart_divisor must be in 1..65535"),
]
ACCEPTED = [
    (CacheConfig, {"size": 1024, "ways": 4, "line": 64}),
    (CacheConfig, {"size": 64 << 10, "ways": 1, "line": 16}),
    (PredictorConfig, {"btb_entries": 128, "history": 0, "counters": 512, "return_stack": 0}),
    (PredictorConfig, {"btb_entries": 4096, "history": 16, "counters": 16384, "return_stack": 32}),
    (XfidesConfig, {"compartments": 0}),
    (XfidesConfig, {"compartments": 2, "shadow_stack_entries": 16, "fat_pointers": False}),
    (XfidesConfig, {"compartments": 16, "shadow_stack_entries": 0, "crossings": "monitor"}),
    (CoreConfig, {"pmp_entries": 0, "hpm_counters": 0, "predictor": None}),
    (CoreConfig, {"pmp_entries": 16, "hpm_counters": 13, "icache": None, "dcache": None}),
    (CoreConfig, {"rvfi": True, "rvfi_csrs": True}),
    (SoCConfig, {"memory_bytes": 4096, "uart_divisor": 65535}),
]


@pytest.mark.parametrize(("configuration", "values", "reason"), REFUSED)
def test_contradictions_are_refused(configuration, values, reason):
    with pytest.raises(ValueError, match=reason):
        configuration(**values)


@pytest.mark.parametrize(("configuration", "values"), ACCEPTED)
def test_limits_are_accepted(configuration, values):
    made = configuration(**values)
    assert {name: getattr(made, name) for name in values} == values


def test_verification_builds_have_names_of_their_own():
    base = PRESETS["base"]
    builds = [base, base.with_rvfi(), base.with_rvfi(csrs=True), base.with_stalls(1)]
    assert len({build.name for build in builds}) == len(builds)
    assert base.with_rvfi(csrs=True).core.rvfi_csrs and not base.with_rvfi().core.rvfi_csrs


def test_ablations_are_presets():
    assert ABLATIONS < PRESETS.keys()


def test_unknown_preset_names_those_there_are():
    with pytest.raises(ValueError, match="'bse'; there are tiny, tiny_fides, base, fides, fides_monitor"):
        preset("bse")
