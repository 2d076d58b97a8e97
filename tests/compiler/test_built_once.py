"""The plugin and the runtime library are built once, however many ask for them at a time."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fides_core.compiler import plugin_build, runtime

pytestmark = pytest.mark.timeout(60)

ASKING = 4


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """What was built, in order; a build takes long enough that all others come while it goes on."""
    made = []

    def build_plugin(config, directory, header, path):
        made.append(path.name)
        time.sleep(0.2)
        path.write_text("plugin")

    def build_library(work, preset, march, xfides):
        made.append(march)
        time.sleep(0.2)
        (work / "libfides.a").write_text(march)

    monkeypatch.setattr(plugin_build, "root", lambda: tmp_path)
    monkeypatch.setattr(plugin_build, "_build", build_plugin)
    monkeypatch.setattr(runtime, "_build", build_library)
    return made


def at_once(function):
    with ThreadPoolExecutor(ASKING) as pool:
        return [future.result() for future in [pool.submit(function) for _ in range(ASKING)]]


def test_plugin(builds):
    paths = set(at_once(plugin_build.plugin))
    assert len(builds) == 1 and [path.read_text() for path in paths] == ["plugin"]


def test_runtime_library(builds):
    paths = set(at_once(lambda: runtime.runtime_library("fides", "rv64im", xfides=True)))
    assert builds == ["rv64im"] and [path.read_text() for path in paths] == ["rv64im"]


def test_libraries_of_other_cores_stay(builds):
    kinds = (("rv64im", True), ("rv64ima", True), ("rv64im", False))
    for _ in range(2):
        paths = [runtime.runtime_library("any", march, xfides=xfides) for march, xfides in kinds]
        assert [path.read_text() for path in paths] == ["rv64im", "rv64ima", "rv64im"]
    assert builds == ["rv64im", "rv64ima", "rv64im"]
