"""Small programs, built for a preset and run on the golden model."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from fides_core.config import PRESETS, Config
from fides_core.model import Platform
from fides_core.software.image import SW, build_image

FLUID = ("memory.c", "console.c", "heap.c", "iterate.c", "jump.S")


@dataclass(frozen=True)
class Run:
    exit_code: int | None
    text: str
    instructions: int


def run_image(image: Path, config: Config, max_instructions: int = 3_000_000) -> Run:
    platform = Platform(config)
    platform.load_elf(image)
    outcome = platform.run(max_instructions=max_instructions)
    return Run(outcome.exit_code, outcome.uart.decode(), outcome.instructions)


class Programs:
    """Writes programs into a folder: ``c`` is the source of the compartment main (id 1)."""

    def __init__(self, folder: Path):
        self.folder = folder

    def policy(self, more: str = "", *, compartments: str = "", calls: str = "[]", fluid: str = "[]") -> Path:
        program = self.folder / "program"
        program.mkdir(exist_ok=True)
        complete = ", ".join(f'"{SW / "runtime" / "fluid" / name}"' for name in FLUID)
        text = f"""\
            name = "test"
            {more}
            [entry]
            function = "program_start"
            compartment = "main"
            [compartments.main]
            id = 1
            sources = ["{SW / "runtime" / "start.S"}", "main.c"]
            calls = {calls}
            {compartments}
            [fluid]
            complete = [{complete}]
            restricted = {fluid}
            """
        (program / "policy.toml").write_text(textwrap.dedent(text))
        return program

    def build(self, c: str, config: Config, **files: str) -> Path:
        """Builds with the policy that is there, or the plain one; ``files``: further sources by stem."""
        program = self.folder / "program"
        if not (program / "policy.toml").exists():
            self.policy()
        (program / "main.c").write_text(c)
        for stem, text in files.items():
            (program / f"{stem}.c").write_text(text)
        return build_image(program, config, self.folder / "build")

    def run(self, c: str, config: Config, **files: str) -> Run:
        return run_image(self.build(c, config, **files), config)


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)


@pytest.fixture(params=("base", "fides"))
def config(request):
    return PRESETS[request.param]


@pytest.fixture
def fides():
    return PRESETS["fides"]


@pytest.fixture(scope="session")
def demo_images():
    """The election for both presets."""
    return {name: build_image("demo", config) for name, config in PRESETS.items()}
