"""Sources by apt, without a network: apt's answers are given."""

import hashlib
import io
import tarfile

import pytest

from fides_core.errors import UserError
from fides_core.flow import debian_sources
from fides_core.flow.debian_sources import SourcePackage, fetch

pytestmark = pytest.mark.timeout(60)


def archive(folders=("hello-1.0",)):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for folder in folders:
            member = tarfile.TarInfo(f"{folder}/hello.c")
            member.size = 2
            tar.addfile(member, io.BytesIO(b"x\n"))
    return stream.getvalue()


class Apt:
    """Two releases that list the same archive at different servers. ``served``: what is there, by server."""

    def __init__(self, served):
        self.served, self.asked = served, []

    def run(self, command, what):
        if "indextargets" in command:
            return "http://one/ stable-security main\nhttp://two/ stable main\nhttp://two/ stable contrib\n"
        if "--print-uris" in command:
            release = command[-1].split("/")[1]
            server = {"stable-security": "one", "stable": "two"}[release]
            return f"'http://{server}/hello_1.0.tar.gz' hello_1.0.tar.gz 100 SHA256:00\n"
        if "download-file" in command:
            self.asked.append(command[2])
            content = self.served.get(command[2].split("/")[2])
            if content is None:
                raise UserError("404")
            with open(command[3], "wb") as stream:
                stream.write(content)
        return ""


@pytest.fixture
def apt(monkeypatch):
    def serve(**served):
        stand_in = Apt(served)
        monkeypatch.setattr(debian_sources, "_run", stand_in.run)
        return stand_in

    return serve


def package(content):
    return SourcePackage("hello", "hello_1.0.tar.gz", hashlib.sha256(content).hexdigest())


def test_fetched_once(apt, tmp_path):
    content = archive()
    stand_in = apt(one=content, two=content)
    folder = fetch(package(content), tmp_path)
    assert (folder / "hello.c").read_text() == "x\n"
    assert fetch(package(content), tmp_path) == folder
    assert len(stand_in.asked) == 1


@pytest.mark.parametrize("server", ("one", "two"))
def test_another_release_has_it(apt, tmp_path, server):
    content = archive()
    apt(**{server: content})
    assert (fetch(package(content), tmp_path) / "hello.c").exists()


def test_nowhere(apt, tmp_path):
    apt()
    with pytest.raises(
        UserError, match="tried http://(one|two)/hello_1.0.tar.gz, http://(one|two)/hello_1.0.tar.gz"
    ):
        fetch(package(b""), tmp_path)
    assert not list(tmp_path.glob("hello*"))


def test_another_version(apt, tmp_path):
    apt(one=b"", two=b"")
    with pytest.raises(UserError, match="has no hello_2.0.tar.gz any more"):
        fetch(SourcePackage("hello", "hello_2.0.tar.gz", "00"), tmp_path)


def test_another_hash(apt, tmp_path):
    apt(one=archive(), two=archive())
    with pytest.raises(UserError, match="hello_1.0.tar.gz has SHA-256 .*: removed"):
        fetch(SourcePackage("hello", "hello_1.0.tar.gz", "00" * 32), tmp_path)
    assert not list(tmp_path.glob("hello*"))


def test_two_folders(apt, tmp_path):
    content = archive(("a", "b"))
    apt(one=content, two=content)
    with pytest.raises(UserError, match="is not one folder"):
        fetch(package(content), tmp_path)
