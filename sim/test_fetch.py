"""The fetch stage with its predictor, behind a bus that answers when it likes and in front of an execute
stage that decides where programs go. Each run takes a new seed, which it prints; FIDES_SEED=N repeats one."""

import pytest

from fides_core.config import CoreConfig, PredictorConfig
from fides_core.core.fetch import FetchStage

pytestmark = pytest.mark.timeout(600)

PREDICTORS = {
    "default": PredictorConfig(),
    "small": PredictorConfig(btb_entries=128, history=4, counters=512, return_stack=2),
    "bimodal": PredictorConfig(history=0, return_stack=0),
    "none": None,
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_fetch(run_bench, name):
    unit = FetchStage(CoreConfig(predictor=PREDICTORS[name], pmp_entries=4))
    run_bench(unit, "fetch", CYCLES=40_000, PREDICTING=int(PREDICTORS[name] is not None))
