"""Source packages of Debian: fetched by apt, pinned by their hash, unpacked under build/."""

import contextlib
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fides_core.errors import UserError

from . import tools

__all__ = ["DIRECTORY", "SourcePackage", "fetch"]

DIRECTORY = tools.ROOT / "build" / "real"
_APT_HELPER = "/usr/lib/apt/apt-helper"
_SECONDS = 300


@dataclass(frozen=True)
class SourcePackage:
    """``archive``: the original sources, as their authors have published them, without Debian's patches.
    ``sha256``: of that file; it says which version it is, whatever Debian has meanwhile."""

    name: str
    archive: str
    sha256: str


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{what}: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"{what}: {last}")
    return done.stdout


def _index(directory: Path) -> tuple[list[str], list[str]]:
    """Options for apt that has indices of sources, of where the system has its packages from, in a folder of
    our own: nothing of the system changes. The releases that they are of. Raises UserError where there is no
    apt."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    found = _run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], "no list of Debian packages"
    )
    words = [line.split() for line in sorted(set(found.splitlines()))]
    lines = [f"deb-src {' '.join(line)}\n" for line in words if len(line) == 3 and line[2] == "main"]
    if not lines:
        raise UserError("apt has no package lists: run `apt-get update`")
    lists = directory / "apt" / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = directory / "apt" / "sources.list"
    options = ["-qq"]
    for name, value in (
        ("Dir::Etc::SourceList", sources),
        ("Dir::Etc::SourceParts", "/dev/null"),
        ("Dir::State::Lists", lists),
    ):  # fmt: skip
        options += ["-o", f"{name}={value}"]
    text = "".join(lines)
    if not sources.exists() or sources.read_text() != text or not any(lists.glob("*Sources*")):
        sources.write_text(text)
        _run(["apt-get", *options, "update"], "no index of Debian's sources")
    return options, sorted({line.split()[2] for line in lines})


def _addresses(package: SourcePackage, directory: Path) -> list[str]:
    """Where the archive is said to be: a release may list what its server has dropped, so there is one
    for each of them."""
    options, releases = _index(directory)
    command = ["apt-get", *options, "--print-uris", "source", "--only-source"]
    addresses = []
    for release in releases:
        try:
            listed = _run([*command, f"{package.name}/{release}"], "")
        except UserError:
            continue
        words = [line.split() for line in listed.splitlines()]
        addresses += [line[0].strip("'") for line in words if len(line) > 1 and line[1] == package.archive]
    return list(dict.fromkeys(addresses))


def _download(package: SourcePackage, path: Path, directory: Path) -> None:
    addresses = _addresses(package, directory)
    if not addresses:
        raise UserError(f"Debian has no {package.archive} any more")
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        partial = Path(work, package.archive)
        for address in addresses:
            with contextlib.suppress(UserError):
                _run([_APT_HELPER, "download-file", address, str(partial)], "")
                partial.replace(path)
                return
    raise UserError(f"{package.archive} cannot be downloaded: tried {', '.join(addresses)}")


def fetch(package: SourcePackage, directory: Path = DIRECTORY) -> Path:
    """The folder with the sources of ``package``, fetched unless that was done before. Raises UserError when
    they cannot be had or are not those of the hash."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / package.archive
    if not path.exists():
        _download(package, path, directory)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        path.unlink()
        raise UserError(f"{package.archive} has SHA-256 {found}, not {package.sha256}: removed")
    target = directory / f"{package.name}-{package.sha256[:12]}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=directory) as work:
            with tarfile.open(path) as archive:
                archive.extractall(work, filter="data")
            folders = list(Path(work).iterdir())
            if len(folders) != 1:
                raise UserError(f"{package.archive} is not one folder")
            shutil.move(folders[0], target)
    return target
