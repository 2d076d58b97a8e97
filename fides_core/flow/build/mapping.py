"""Yosys on a design for a board: what every toolchain that uses it has in common."""

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.verilog import replace_file

from .design import TOP, Design
from .toolchain import key, publish, recall

__all__ = ["map_design"]


def map_design(
    design: Design,
    script: str,
    directory: Path,
    outputs: Sequence[str],
    read: Callable[[Path], dict[str, Any]] = lambda scratch: {},
) -> tuple[str, dict[str, Any]]:
    """Run a Yosys script on a design, or recall what it gave.

    The script finds the design's sources where it runs. It, or ``read``, leaves ``outputs`` there, files that
    are kept in ``directory`` beside synthesis.log, and cells.json (``stat -json``). Returns the key of all
    that made them, and the result: "cells" of the top level by type, with what ``read`` finds in the folder.
    Raises ToolMissing without Yosys, UserError when it fails.
    """
    made_of = key(script, tools.yosys_version(), *design.sources.values())
    kept = directory / "synthesis.json"
    if (found := recall(kept, made_of)) and all((directory / name).exists() for name in outputs):
        return made_of, found
    kept.unlink(missing_ok=True)
    log = directory / "synthesis.log"
    with tempfile.TemporaryDirectory(dir=directory, prefix=".synthesis-") as scratch:
        scratch = Path(scratch)
        for name, text in design.sources.items():
            (scratch / name).write_text(text)
        try:
            tools.run_yosys(script, scratch, "synthesis")
        except UserError as error:
            # The log moves out of the scratch folder that the message names.
            raise type(error)(re.sub(r"\(log: .*\)$", f"(log: {log})", str(error))) from None
        finally:
            if (scratch / log.name).exists():
                publish(scratch, directory, [log.name])
        found = read(scratch)
        statistics = json.loads((scratch / "cells.json").read_text())
        cells = dict(sorted(statistics["modules"]["\\" + TOP]["num_cells_by_type"].items()))
        result = {"key": made_of, "cells": cells, **found}
        publish(scratch, directory, outputs)
    replace_file(kept, json.dumps(result, indent=2) + "\n")
    return made_of, result
