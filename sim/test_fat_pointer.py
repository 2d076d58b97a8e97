"""The fat-pointer validator against the golden model. Each run takes a new seed, which it prints;
FIDES_SEED=N repeats one."""

import pytest

from fides_core.security.fat_pointer import FatPointer

pytestmark = pytest.mark.timeout(600)


def test_fat_pointer(run_bench):
    run_bench(FatPointer(), "fat_pointer", ROUNDS=1000)
