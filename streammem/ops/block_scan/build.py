"""Builds the native library with the C++ compiler of this machine, once for each of its kinds.

The compiler writes into a temporary folder inside the cache and the result moves to its name in
one step, so two processes may build at once and a killed build leaves nothing that others wait
for. The name holds a hash of the sources, the flags and all that the compiler says of itself and
of this CPU, since a home may be shared by machines; and the hash of the file itself, so that a
damaged one is noticed and built again.
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("native.cpp")
_PARTS: Final = (SOURCE, *sorted(SOURCE.parent.glob("native_*.h")))
_FLAGS: Final = (
    "-std=c++17",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-exceptions",
    "-fvisibility=hidden",
    "-fPIC",
    "-shared",
    "-Wno-psabi",
    "-Wno-unknown-pragmas",
)
_FOR_THIS_CPU: Final = ("-march=native", "-mcpu=native", "")
_VECTORS: Final = {"__AVX512F__": "AVX-512", "__AVX2__": "AVX2", "__AVX__": "AVX"}
_SECONDS: Final = 300
_ABANDONED_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class NativeStatus:
    """Whether the native scan can be used, and why or why not."""

    ready: bool
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C++ compiler and what it says of itself and of the CPU it would build for."""

    command: tuple[str, ...]
    macros: str

    def __str__(self) -> str:
        """Return as `g++ 12.2.0, AVX-512`."""
        defined = dict(
            line.split(" ", 2)[1:] for line in self.macros.splitlines() if line[-1] != " "
        )
        version = defined.get("__VERSION__", "").strip('"')
        vectors = next((_VECTORS[name] for name in _VECTORS if name in defined), "128-bit vectors")
        return f"{Path(self.command[0]).name} {version}, {vectors}"


class CannotBuild(Exception):
    """The library cannot be had on this machine; the message says why."""


def find_compiler() -> Compiler:
    """Return the compiler named by `$CXX`, else the first of c++, g++ and clang++ that works."""
    named = shlex.split(os.environ.get("CXX", ""))
    problems = []
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]) is None:
            continue
        for target in _FOR_THIS_CPU:
            full = (*command, *_FLAGS, *([target] if target else []))
            asked = _run([*full, "-dM", "-E", "-x", "c++", os.devnull])
            if asked.returncode == 0:
                return Compiler(full, asked.stdout)
        problems.append(f"{command[0]} does not work: {_last_line(asked.stderr)}")
    if problems:
        raise CannotBuild("; ".join(problems))
    if named:
        raise CannotBuild(f"CXX names {named[0]}, which is not there")
    raise CannotBuild("no C++ compiler was found; install g++ or clang++")


def load(folder: Path, accept: Callable[[ctypes.CDLL], None]) -> tuple[ctypes.CDLL, str]:
    """Return the library and which compiler built it, from `folder` or newly built into it.

    `accept` tries the library and raises CannotBuild where its results are wrong.
    Raises CannotBuild.
    """
    compiler = find_compiler()
    key = _hash(*(part.read_bytes() for part in _PARTS), repr(compiler).encode())
    try:
        for path in sorted(folder.glob(f"block_scan-{key}-*.so")):
            library = _open(path)
            if library is not None:
                break
        else:
            path = _compile(compiler, folder, f"block_scan-{key}")
            library = _open(path)
    except OSError as error:
        raise CannotBuild(f"{folder} cannot hold the library: {error}") from error
    if library is None:
        raise CannotBuild(f"the library that {compiler} built cannot be loaded")
    accept(library)
    return library, str(compiler)


def _compile(compiler: Compiler, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for abandoned in _older(folder.glob("building-*"), _ABANDONED_SECONDS):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as workspace:
        output = Path(workspace) / "library"
        for threads in (["-fopenmp"], []):
            done = _run([*compiler.command, *threads, str(SOURCE), "-o", str(output)])
            if done.returncode == 0:
                path = folder / f"{name}-{_hash(output.read_bytes())}.so"
                os.replace(output, path)
                return path
    raise CannotBuild(f"{compiler} cannot build it: {_last_line(done.stderr)}")


def _open(path: Path) -> ctypes.CDLL | None:
    """Return the library, or None where the file is not the one that was built here."""
    if path.stem.rpartition("-")[2] != _hash(path.read_bytes()):
        path.unlink()
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def _older(paths: Iterator[Path], seconds: float) -> Iterator[Path]:
    for path in paths:
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if age > seconds:
            yield path


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"{command[0]} did not end within {_SECONDS} s") from error
    except OSError as error:
        raise CannotBuild(f"{command[0]} cannot be run: {error}") from error


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256(sys.platform.encode())
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
