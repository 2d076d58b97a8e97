"""The programs of others that ``real_programs`` runs: what they are made of and what they must print."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .debian_sources import SourcePackage

__all__ = ["PROGRAMS", "RealProgram"]


@dataclass(frozen=True)
class RealProgram:
    """``version``: as its authors call it. ``checks``: what is looked at, in a line. ``sources``,
    ``without``: patterns in the package's folder. ``driver``: of sw/real, where the package has no program
    that runs by itself. ``include``: folders of the package. ``answers``: what must be in the output, given
    the folder; the output must also be that of the host's compiler. ``options``: for the compilers, such as
    the package has for systems without files. ``sample``: a file of the package that the driver gets as an
    array. ``policy``: of sw/real, where the defaults are too small."""

    package: SourcePackage
    version: str
    checks: str
    sources: tuple[str, ...]
    answers: Callable[[Path], Sequence[str]]
    without: tuple[str, ...] = ()
    driver: str | None = None
    include: tuple[str, ...] = (".",)
    options: tuple[str, ...] = ()
    sample: str | None = None
    policy: str | None = None


def _tommath_answers(_: Path) -> list[str]:
    factorial, prime, number = math.factorial(100), 2**127 - 1, 123456789012345678901234567890
    answers = {
        "factorial": factorial,
        "power": pow(factorial, factorial, prime),
        "quotient": factorial // prime,
        "remainder": factorial % prime,
        "gcd": math.gcd(factorial, number),
        "inverse": pow(number, -1, prime),
        "root": math.isqrt(factorial),
    }
    return [f"{name} {value:X}" for name, value in answers.items()] + ["prime 1", "prime 0"]


def _bzip2_answers(folder: Path) -> list[str]:
    text = (folder / "sample1.ref").read_bytes()
    return [f"expanded 4 {len(text)} {zlib.adler32(text):08x}"]


_CJSON = SourcePackage(
    "cjson", "cjson_1.7.15.orig.tar.gz", "5308fd4bd90cef7aa060558514de6a1a4a0819974a26e6ed13973c5f624c24b2"
)

PROGRAMS = {
    "cjson": RealProgram(
        _CJSON,
        "1.7.15",
        "its own `test.c`",
        ("test.c", "cJSON.c"),
        lambda folder: ['"number":\tnull', "Version: 1.7.15"],
    ),
    "cjson_misc": RealProgram(
        _CJSON,
        "1.7.15",
        "its own `misc_tests.c`, 25 unit tests",
        ("tests/misc_tests.c", "tests/unity/src/unity.c"),
        lambda folder: ["25 Tests 0 Failures 0 Ignored", "OK"],
        policy="cjson_misc.toml",
    ),
    "tommath": RealProgram(
        SourcePackage(
            "libtommath",
            "libtommath_1.2.0.orig.tar.xz",
            "b7c75eecf680219484055fcedd686064409254ae44bc31a96c5032843c0e18b1",
        ),
        "1.2.0",
        "powers, division, gcd, inverse, root, primes; Python's results",
        ("bn_*.c",),
        _tommath_answers,
        driver="tommath.c",
    ),
    "lua": RealProgram(
        SourcePackage(
            "lua5.4",
            "lua5.4_5.4.4.orig.tar.gz",
            "164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61",
        ),
        "5.4.4",
        "a chunk: sorting, strings, coroutines, errors, garbage collection",
        ("src/*.c",),
        lambda folder: [
            "1 2 3 4 5 6 7 8 9 10\t60",
            "2\t42",
            "610",
            "true\ttrue",
            "1040.0\t\u03bb\t100\t0\t0\t0",
        ],
        without=("src/lua.c", "src/luac.c"),
        driver="lua.c",
        include=("src",),
    ),
    "lz4": RealProgram(
        SourcePackage(
            "lz4",
            "lz4_1.9.4.orig.tar.gz",
            "0b0e3aa07c8c063ddf40b082bdf7e37a1562bda40a0ff5272957f3e987e0e54b",
        ),
        "1.9.4",
        "three compressors and back; short buffers and damaged data are refused",
        ("lib/lz4.c", "lib/lz4hc.c"),
        lambda folder: ["expanded 3000 right", "short buffer refused"],
        driver="lz4.c",
        include=("lib",),
    ),
    "bzip2": RealProgram(
        SourcePackage(
            "bzip2",
            "bzip2_1.0.8.orig.tar.gz",
            "ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269",
        ),
        "1.0.8",
        "expands its `sample1.bz2` to its `sample1.ref`",
        ("blocksort.c", "bzlib.c", "compress.c", "crctable.c", "decompress.c", "huffman.c", "randtable.c"),
        _bzip2_answers,
        driver="bzip2.c",
        options=("-DBZ_NO_STDIO",),
        sample="sample1.bz2",
    ),
    "zlib": RealProgram(
        SourcePackage(
            "zlib",
            "zlib_1.2.13.dfsg.orig.tar.bz2",
            "71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1",
        ),
        "1.2.13",
        "its own `test/example.c`, but for what needs files",
        ("*.c", "test/example.c"),
        lambda folder: [
            "zlib version 1.2.13 = 0x12d0",
            "inflate(): hello, hello!",
            "large_inflate(): OK",
            "after inflateSync(): hello, hello!",
            "inflate with dictionary: hello, hello!",
        ],
        without=("gzclose.c", "gzlib.c", "gzread.c", "gzwrite.c"),
        options=("-DZ_SOLO",),
    ),
}
