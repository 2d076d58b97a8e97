"""What tests of several folders use."""

from collections import Counter

import pytest

from fides_core.model.compartments import CompartmentState


@pytest.fixture
def crossings(monkeypatch) -> Counter:
    """Counts what instructions and returns do to the compartment state of golden models, by Crossing."""
    counts: Counter = Counter()
    for name in ("execute", "ret"):
        original = getattr(CompartmentState, name)

        def counted(self, *arguments, original=original):
            result = original(self, *arguments)
            counts[result] += 1
            return result

        monkeypatch.setattr(CompartmentState, name, counted)
    return counts
