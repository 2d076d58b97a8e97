"""The CSR file against a model of its registers. Each run takes a new seed, which it prints; FIDES_SEED=N
repeats one."""

import pytest

from fides_core.config import CoreConfig, XfidesConfig
from fides_core.core.csr import CSRFile

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    "hpm_counters, pmp_entries, xfides, late_verdict",
    [(10, 4, 0, 0), (0, 0, 1, 1), (13, 16, 1, 1), (1, 8, 0, 0), (3, 4, 1, 0)],
)
def test_csr_file(run_bench, hpm_counters, pmp_entries, xfides, late_verdict):
    config = CoreConfig(
        hpm_counters=hpm_counters,
        pmp_entries=pmp_entries,
        hart_id=5,
        xfides=XfidesConfig(fat_pointers=bool(late_verdict)) if xfides else None,
    )
    assert config.late_verdict == late_verdict
    run_bench(
        CSRFile(config), "csr_file", HPM_COUNTERS=hpm_counters, PMP_ENTRIES=pmp_entries, XFIDES=xfides,
        LATE_VERDICT=late_verdict, ROUNDS=320,
    )  # fmt: skip
