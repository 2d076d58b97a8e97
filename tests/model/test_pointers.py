"""The rules of contract section 9, one by one."""

import pytest

from fides_core.isa.causes import MemoryFault as Fault
from fides_core.isa.xfides import pack_entry, pack_pointer, unpack_pointer
from fides_core.model.pointers import MemoryTrap, PointerState, cookie_step

TABLE = 0x8010_0000
STACK_BASE, STACK_END = 100, 120
RESERVED = 0xA5 << 56


class Table:
    """A metadata table that counts accesses and can be made to fail."""

    def __init__(self):
        self.entries, self.reads, self.writes, self.broken = {}, 0, 0, False

    def read(self, address):
        self.reads += 1
        return self.entries.get(address, 0)

    def write(self, address, value):
        if self.broken:
            raise LookupError(address)
        self.writes += 1
        self.entries[address] = value


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def state(table):
    """Entry 7: 100 bytes at 0x9000_0000, cookie 0x42; fmark 110 with entry 105 live."""
    state = PointerState(table.read, table.write)
    state.base, state.stack_base, state.stack_end, state.mark.value = TABLE, STACK_BASE, STACK_END, 110
    table.entries[TABLE + 8 * 7] = pack_entry(0x9000_0000, 100, 0x42)
    table.entries[TABLE + 8 * 105] = pack_entry(0x9000_0000, 100, 0x42)
    table.entries[TABLE + 8 * 110] = pack_entry(0x9000_0000, 100, 0x42)
    table.entries[TABLE + 8 * 120] = pack_entry(0x9000_0000, 100, 0x42)
    return state


def pointer(offset=0, index=7, cookie=0x42):
    return pack_pointer(0x9000_0000 + offset, index, cookie)


def faults(state, table, reason, value, rule, *arguments):
    """``rule`` raises ``reason`` with mtval ``value`` and has no side effect."""
    before = dict(table.entries), state.mark.value, state.cookie_state
    with pytest.raises(MemoryTrap) as caught:
        rule(*arguments)
    assert (caught.value.reason, caught.value.value) == (reason, value)
    assert (table.entries, state.mark.value, state.cookie_state) == before


class TestCheck:
    @pytest.mark.parametrize("log2", range(5))
    def test_last_access_that_fits(self, state, log2):
        last = 100 - (1 << log2)
        assert state.check(pointer(), last, log2) == pointer(last)
        assert state.check(pointer(last), 0, log2) == pointer(last)

    @pytest.mark.parametrize("log2", range(5))
    def test_one_byte_too_far(self, state, table, log2):
        first = 101 - (1 << log2)
        faults(state, table, Fault.BOUNDS, pointer(first), state.check, pointer(), first, log2)

    def test_before_the_object(self, state, table):
        minus_one = (1 << 64) - 1
        faults(state, table, Fault.BOUNDS, pointer(-1), state.check, pointer(), minus_one, 0)

    def test_pointer_outside_but_access_inside(self, state):
        assert state.check(pointer(-16), 16, 3) == pointer()

    def test_address_wraps_and_upper_half_stays(self, state):
        assert state.check(pointer(-0x9000_0000) | RESERVED, 0x5_9000_0000, 0) == pointer() | RESERVED

    def test_cookie(self, state, table):
        faults(state, table, Fault.TEMPORAL, pointer(1, cookie=0x43), state.check, pointer(cookie=0x43), 1, 0)

    def test_cookie_before_bounds(self, state, table):
        wrong = pointer(cookie=1)
        faults(state, table, Fault.TEMPORAL, pointer(200, cookie=1), state.check, wrong, 200, 0)

    def test_dead_entry_before_cookie(self, state, table):
        table.entries[TABLE + 8 * 7] = pack_entry(0x9000_0000, 0, 0x41)
        faults(state, table, Fault.INVALID, pointer(), state.check, pointer(), 0, 0)

    def test_index_0_is_dead(self, state, table):
        faults(state, table, Fault.INVALID, 0x9000_0000, state.check, 0x9000_0000, 0, 0)

    def test_index_0_with_a_coarse_region(self, state, table):
        table.entries[TABLE] = pack_entry(0x8000_0000, 0x1000, 0)
        assert state.check(0x8000_0800, 0, 3) == 0x8000_0800

    def test_stack_zone_below_fmark(self, state):
        assert state.check(pointer(index=105), 0, 3) == pointer(index=105)

    @pytest.mark.parametrize("index", [110, 119, 120, 0xFFFF])
    def test_at_or_above_fmark_and_beyond_the_table(self, state, table, index):
        wrong = pointer(index=index)
        faults(state, table, Fault.INVALID, wrong, state.check, wrong, 0, 0)
        assert table.reads == 0


class TestAdd:
    def test_only_the_address_changes(self):
        assert PointerState.add(RESERVED | pointer(-1), (1 << 64) - 0x9000_0000) == RESERVED | pointer(
            -1 - 0x9000_0000
        )
        assert PointerState.add(pack_pointer(0xFFFF_FFFF, 1, 1), 1) == pack_pointer(0, 1, 1)


def request(size, index=0):
    return index << 32 | size


class TestMint:
    def test_given_index(self, state, table):
        result = state.mint(0x9100_0000 | RESERVED, request(64, 9) | 0xFFFF << 48)
        address, index, cookie = unpack_pointer(result)
        assert (address, index) == (0x9100_0000, 9) and 1 <= cookie <= 255 and result >> 56 == 0
        assert table.entries[TABLE + 8 * 9] == pack_entry(0x9100_0000, 64, cookie)
        assert state.mark.value == 110
        assert state.check(result, 60, 2) == result + 60

    def test_stack(self, state, table):
        result = state.mint(0x9100_0000, request(8))
        assert unpack_pointer(result)[1] == 110 and state.mark.value == 111
        assert state.check(result, 0, 3) == result

    def test_cookies_are_fresh_and_never_0(self, state):
        state.cookie_state = next(seed for seed in range(1, 1 << 16) if cookie_step(seed) & 0xFF == 0)
        cookies = []
        for _ in range(1000):
            state.mark.value = 110
            cookies.append(unpack_pointer(state.mint(0x9100_0000, request(8)))[2])
        assert 0 not in cookies and cookies[0] == 1 and len(set(cookies)) > 200

    @pytest.mark.parametrize("size", [1, 0xFF_FFFF])
    def test_smallest_and_largest(self, state, table, size):
        result = state.mint((1 << 32) - size, request(size, 9))
        assert state.check(result, size - 1, 0) == result + size - 1
        faults(state, table, Fault.BOUNDS, result & ~0xFFFF_FFFF, state.check, result, size, 0)

    @pytest.mark.parametrize("base, size", [(0x9000_0000, 1 << 24), (0xFFFF_FFFF, 2), (0, 0xFFFF_FFFF)])
    def test_bounds(self, state, table, base, size):
        faults(state, table, Fault.BOUNDS, base, state.mint, base, request(size, 9))

    def test_bounds_before_index(self, state, table):
        faults(state, table, Fault.BOUNDS, 0, state.mint, 0, request(1 << 24, 7))

    @pytest.mark.parametrize("index", [7, STACK_BASE, 105, STACK_END, 0xFFFF])
    def test_index_that_is_not_free(self, state, table, index):
        faults(state, table, Fault.INVALID, 0x5500, state.mint, 0x5500, request(8, index))

    @pytest.mark.parametrize("mark", [0, STACK_BASE - 1, STACK_END])
    def test_exhausted(self, state, table, mark):
        state.mark.value = mark
        faults(state, table, Fault.EXHAUSTED, 0, state.mint, 0x5500, request(8))

    def test_size_0_writes_a_dead_entry(self, state, table):
        result = state.mint(0x5500, request(0))
        assert state.mark.value == 111 and table.writes == 1
        faults(state, table, Fault.INVALID, result, state.check, result, 0, 0)

    def test_failing_write_changes_nothing(self, state, table):
        table.broken = True
        before = state.mark.value, state.cookie_state
        with pytest.raises(LookupError):
            state.mint(0x5500, request(8))
        assert (state.mark.value, state.cookie_state) == before


class TestRevoke:
    def test_kills(self, state, table):
        state.revoke(pointer())
        assert table.entries[TABLE + 8 * 7] == 0
        faults(state, table, Fault.INVALID, pointer(), state.check, pointer(), 0, 0)

    def test_use_after_reallocation(self, state, table):
        state.revoke(pointer())
        state.cookie_state = 0x1234_5678
        state.mint(0x9000_0000, request(100, 7))
        faults(state, table, Fault.TEMPORAL, pointer(), state.check, pointer(), 0, 0)

    @pytest.mark.parametrize("index", [0, 105, 110])
    def test_index_0_and_stack_zone(self, state, table, index):
        wrong = pointer(index=index)
        faults(state, table, Fault.NOT_BASE, wrong, state.revoke, wrong)
        assert table.reads == 0

    def test_interior_pointer(self, state, table):
        faults(state, table, Fault.NOT_BASE, pointer(4), state.revoke, pointer(4))

    def test_cookie_before_base(self, state, table):
        faults(state, table, Fault.TEMPORAL, pointer(4, cookie=9), state.revoke, pointer(4, cookie=9))

    @pytest.mark.parametrize("index", [8, STACK_END])
    def test_dead(self, state, table, index):
        faults(state, table, Fault.INVALID, pointer(index=index), state.revoke, pointer(index=index))


def test_table_address_wraps_at_32_bits(state):
    state.base = 0xFFFF_FFF8
    assert state.entry_address(2) == 8


def test_cookie_generator_has_the_stated_taps():
    # Feedback polynomial x^32 + x^22 + x^2 + x + 1, one step each way.
    assert cookie_step(2) == 1
    assert cookie_step(1) == 0x80200003
