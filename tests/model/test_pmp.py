"""Physical memory protection (privileged ISA 1.12, section 3.7)."""

import pytest

from fides_core.model.pmp import EXECUTE, READ, WRITE, PhysicalMemoryProtection

TOR, NA4, NAPOT, LOCK = 1 << 3, 2 << 3, 3 << 3, 0x80


def unit(*entries, count=4):
    """Entries of (config, pmpaddr)."""
    pmp = PhysicalMemoryProtection(count)
    for number, (_, address) in enumerate(entries):
        pmp.write_address(number, address)
    pmp.write_config(0, int.from_bytes(bytes(config for config, _ in entries), "little"))
    return pmp


def user(pmp, address, size=4, access=READ):
    return pmp.allows(address, size, access, machine=False)


def machine(pmp, address, size=4, access=READ):
    return pmp.allows(address, size, access, machine=True)


def test_without_match_only_machine_mode():
    pmp = unit()
    assert machine(pmp, 0x8000_0000) and not user(pmp, 0x8000_0000)


def test_without_entries_everything():
    pmp = PhysicalMemoryProtection(0)
    assert user(pmp, 0) and machine(pmp, 0)


def test_tor():
    pmp = unit((0, 0x1000 >> 2), (TOR | READ, 0x2000 >> 2))
    assert user(pmp, 0x1000) and user(pmp, 0x1FFC)
    assert not user(pmp, 0xFFC) and not user(pmp, 0x2000)


def test_tor_of_entry_0_starts_at_0():
    pmp = unit((TOR | READ, 0x2000 >> 2))
    assert user(pmp, 0) and not user(pmp, 0x2000)


def test_empty_tor_matches_nothing():
    pmp = unit((0, 0x2000 >> 2), (TOR, 0x1000 >> 2), (NAPOT | READ, (1 << 30) - 1))
    assert user(pmp, 0x1800)


def test_na4():
    pmp = unit((NA4 | READ, 0x1004 >> 2))
    assert user(pmp, 0x1004) and not user(pmp, 0x1000) and not user(pmp, 0x1008)


@pytest.mark.parametrize("size", [8, 64, 0x1000, 1 << 20])
def test_napot(size):
    base = 0x8010_0000
    pmp = unit((NAPOT | READ, base >> 2 | (size >> 3) - 1))
    assert user(pmp, base) and user(pmp, base + size - 4)
    assert not user(pmp, base - 4) and not user(pmp, base + size)


def test_napot_of_everything():
    assert user(unit((NAPOT | READ, (1 << 54) - 1)), 0xFFFF_FFFC)


@pytest.mark.parametrize("permission", [READ, EXECUTE, READ | WRITE, READ | EXECUTE, 7])
def test_permissions(permission):
    pmp = unit((TOR | permission, 0x2000 >> 2))
    for access in (READ, WRITE, EXECUTE):
        assert user(pmp, 0x1000, access=access) == bool(permission & access)


def test_write_without_read_is_reserved():
    pmp = unit((TOR | WRITE | EXECUTE, 0x2000 >> 2))
    assert pmp.read_config(0) == TOR | EXECUTE


def test_lowest_entry_decides():
    pmp = unit((NA4, 0x1000 >> 2), (TOR | READ, 0x2000 >> 2))
    assert not user(pmp, 0x1000) and user(pmp, 0x1FFC)
    # entry 1's lower bound is entry 0's address
    assert not user(pmp, 0xFFC)


@pytest.mark.parametrize("address", [0x0FF8, 0x1FF8])
def test_partial_match_fails_even_when_both_parts_are_allowed(address):
    pmp = unit((NA4 | READ, address >> 2), (NAPOT | READ, (1 << 30) - 1))
    assert user(pmp, address, 4) and user(pmp, address + 4, 4)
    assert not user(pmp, address, 8)


def test_partial_match_holds_for_machine_mode_when_locked():
    pmp = unit((NA4 | READ | LOCK, 0x1000 >> 2))
    assert not machine(pmp, 0x1000, 8) and machine(pmp, 0x1000, 4)


def test_locked_binds_machine_mode():
    pmp = unit((TOR | READ | LOCK, 0x2000 >> 2), (TOR, 0x3000 >> 2))
    assert machine(pmp, 0x1000) and not machine(pmp, 0x1000, access=WRITE)
    assert machine(pmp, 0x2000, access=WRITE)


def test_locked_entry_stays():
    pmp = unit((TOR | READ | LOCK, 0x2000 >> 2))
    pmp.write_config(0, 0x1F1F)
    pmp.write_address(0, 0)
    assert pmp.read_config(0) == 0x1F00 | TOR | READ | LOCK and pmp.read_address(0) == 0x2000 >> 2


def test_locked_tor_locks_the_address_below():
    pmp = unit((0, 0x1000 >> 2), (TOR | LOCK, 0x2000 >> 2), (0, 0), (NA4 | LOCK, 0x9))
    pmp.write_address(0, 5)
    pmp.write_address(2, 5)
    assert pmp.read_address(0) == 0x1000 >> 2
    assert pmp.read_address(2) == 5  # below a locked entry that is not TOR
    pmp = unit((0, 0), (0, 0), (0, 0x1000 >> 2), (TOR | LOCK, 0x2000 >> 2))
    pmp.write_address(2, 5)
    assert pmp.read_address(2) == 0x1000 >> 2


def test_fields_that_do_not_exist_read_0():
    pmp = unit((0x7F, (1 << 64) - 1))
    assert pmp.read_config(0) == 0x1F and pmp.read_address(0) == (1 << 30) - 1
    pmp.write_address(4, 5)
    pmp.write_config(0, 0x1F << 32)
    pmp.write_config(8, 0x1F)
    assert pmp.read_address(4) == 0 and pmp.read_config(0) == 0 and pmp.read_config(8) == 0


def test_sixteen_entries():
    pmp = PhysicalMemoryProtection(16)
    pmp.write_address(15, 0x1000 >> 2)
    pmp.write_config(8, (NA4 | READ) << 56)
    assert user(pmp, 0x1000) and not user(pmp, 0x1004)
