"""Set-up: what it checks before it changes anything, and the locks."""

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig

import pytest

from fides_core.flow import tools

SCRIPT = tools.ROOT / "scripts" / "setup.py"


@pytest.fixture
def setup_script(monkeypatch):
    """The script as a module, as an ordinary user on a machine with all packages."""
    spec = importlib.util.spec_from_file_location("setup_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return module


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def bin_directory(tmp_path, monkeypatch):
    """The only folder in PATH, with a dpkg-query that knows some packages and a log of apt-get's calls."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program(
        directory / "dpkg-query",
        'echo "installed make"; echo "installed g++"; echo "config-files perl"; exit 1',
    )
    program(directory / "env", 'shift; exec "$@"')
    program(directory / "apt-get", f'echo "$@" >> {tmp_path}/calls')
    monkeypatch.setenv("PATH", str(directory))
    return directory


def test_missing_packages_are_those_not_installed(setup_script, bin_directory):
    missing = setup_script.missing_debian_packages()
    assert "perl" in missing and "gcc-riscv64-unknown-elf" in missing
    assert "make" not in missing and "g++" not in missing


def test_user_without_sudo_gets_the_line_to_type(setup_script, bin_directory, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["setup.py", "--venv", str(tmp_path / "venv")])
    assert setup_script.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(
        r"as root, run: apt-get update && apt-get install -y .*\bperl\b.*picolibc-riscv64", error
    )
    assert not (tmp_path / "venv").exists() and not (tmp_path / "calls").exists()


def test_root_installs_after_an_update(setup_script, bin_directory, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    setup_script.install_debian_packages()
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update == "-q update"
    assert install.startswith("-q install -y --no-install-recommends ccache perl ")


def test_wanted_packages_come_along_where_there_are_any(setup_script, bin_directory, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(bin_directory / "apt-cache", '[ "$2" = clang-19 ]')
    setup_script.install_debian_packages()
    install = (tmp_path / "calls").read_text().splitlines()[1].split()
    assert install[-1] == "clang-19" and "ccache" in install

    # Alone they are installed, too.
    names = " ".join(setup_script.DEBIAN_PACKAGES)
    program(bin_directory / "dpkg-query", f'for name in {names}; do echo "installed $name"; done')
    setup_script.install_debian_packages()
    assert (tmp_path / "calls").read_text().splitlines()[3].split()[-2:] == [
        "--no-install-recommends",
        "clang-19",
    ]

    # But where that is not possible, nothing is missed.
    monkeypatch.setattr(setup_script, "privileged_prefix", lambda: None)
    setup_script.install_debian_packages()
    assert len((tmp_path / "calls").read_text().splitlines()) == 4


def test_wanted_packages_that_cannot_be_installed_are_no_error(
    setup_script, bin_directory, monkeypatch, capsys
):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    names = " ".join((*setup_script.DEBIAN_PACKAGES, "clang-19"))
    program(bin_directory / "dpkg-query", f'for name in {names}; do echo "installed $name"; done')
    program(bin_directory / "apt-cache", '[ "$2" = llvm-19-dev ]')
    program(bin_directory / "apt-get", "exit 100")
    setup_script.install_debian_packages()
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("installing llvm-19-dev")
    assert "going on without llvm-19-dev: apt-get failed; as root, run: " in last
    assert last.partition(" (")[0].endswith("--no-install-recommends llvm-19-dev")


def test_wanted_packages_that_do_not_exist_are_left_out(setup_script, bin_directory, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(bin_directory / "apt-cache", "exit 100")
    setup_script.install_debian_packages()
    assert "clang" not in (tmp_path / "calls").read_text()


def test_sudo_is_used_where_it_works(setup_script, bin_directory, tmp_path):
    program(bin_directory / "sudo", f'echo "sudo $@" >> {tmp_path}/calls; [ "$1" = -n ] || exec "$@"')
    setup_script.install_debian_packages()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "sudo -n true"
    assert [call for call in calls if not call.startswith("sudo")][0] == "-q update"


def test_failing_apt_get_is_an_error(setup_script, bin_directory, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(bin_directory / "apt-get", "exit 100")
    with pytest.raises(setup_script.SetupError, match="apt-get failed; as root, run: apt-get update"):
        setup_script.install_debian_packages()


def test_not_debian(setup_script, bin_directory):
    (bin_directory / "dpkg-query").unlink()
    with pytest.raises(setup_script.SetupError, match="not Debian"):
        setup_script.install_debian_packages()


def test_old_python(setup_script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))
    with pytest.raises(setup_script.SetupError, match="Python 3.11 or newer"):
        setup_script.set_up(tmp_path / "venv", system=False)


def test_folder_that_is_no_environment_is_left_alone(setup_script, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(setup_script.SetupError, match="is not a virtual environment"):
        setup_script.set_up(tmp_path, system=False)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_steps_are_done_once(setup_script, tmp_path, monkeypatch):
    """Without pip and without a network: the commands are only noted."""
    commands = []

    def run(command, failure, **options):
        command = [str(part) for part in command]
        commands.append(command)
        if "venv" in command:
            (tmp_path / "venv" / "bin").mkdir(parents=True)
            (tmp_path / "venv" / "bin" / "python").touch()
            (tmp_path / "venv" / "pyvenv.cfg").touch()

    monkeypatch.setattr(setup_script, "run", run)
    monkeypatch.setattr(setup_script.platform, "machine", lambda: "other")  # no Spike
    setup_script.set_up(tmp_path / "venv", system=False)
    # The environment, two locks, the package, Yosys.
    assert len(commands) == 5
    assert sum("--require-hashes" in command for command in commands) == 2
    commands.clear()
    setup_script.set_up(tmp_path / "venv", system=False)
    assert commands == []
    lock = tmp_path / "root" / "verilator.lock"
    lock.parent.mkdir()
    for name in ("requirements.lock", "spike.lock", "pyproject.toml"):
        (lock.parent / name).write_bytes((tools.ROOT / name).read_bytes())
    lock.write_text("another")
    monkeypatch.setattr(setup_script, "ROOT", lock.parent)
    setup_script.set_up(tmp_path / "venv", system=False)
    assert [str(lock)] == [part for command in commands for part in command if part.endswith(".lock")]


def test_a_failed_step_is_tried_again(setup_script, tmp_path, monkeypatch):
    stamps = setup_script.Stamps(tmp_path / "stamps.json")

    def fail(*_, **__):
        raise setup_script.SetupError("pip could not")

    monkeypatch.setattr(setup_script, "run", fail)
    with pytest.raises(setup_script.SetupError):
        setup_script.install_python_packages(tmp_path, stamps)
    assert setup_script.Stamps(tmp_path / "stamps.json").keys == {}


def test_second_run_is_quick():
    """In the environment of these tests, where set-up has been run."""
    if not (tools.Path(sys.prefix) / "setup-stamps.json").exists():
        pytest.skip("this environment was not made by scripts/setup.py")
    (installed,) = tools.Path(sysconfig.get_path("purelib")).glob("fides_core.pth")
    if installed.read_text().strip() != str(tools.ROOT):
        pytest.skip("this environment is another tree's, and set-up would make it this one's")
    base_python = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    command = [base_python, str(SCRIPT), "--venv", sys.prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["requirements.lock", "verilator.lock", "spike.lock"])
def test_locks_pin_and_hash_everything(name):
    text = (tools.ROOT / name).read_text()
    assert "://" not in text
    entries = [entry for entry in re.split(r"^(?=[\w-])", text, flags=re.MULTILINE) if entry.strip()]
    assert entries
    for entry in entries:
        assert re.match(r"[\w-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_lock_has_what_the_requirements_say():
    wanted = re.findall(r"^([\w-]+)==(\S+)$", (tools.ROOT / "requirements.in").read_text(), re.MULTILINE)
    lock = (tools.ROOT / "requirements.lock").read_text()
    assert len(wanted) >= 10
    for name, version in wanted:
        assert f"\n{name.replace('_', '-')}=={version} " in "\n" + lock, name
