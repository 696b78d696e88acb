"""Building the native scan: what may go wrong, and that it is said."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streammem.errors import UsageError
from streammem.ops.block_scan import build, native, native_library
from streammem.ops.block_scan.build import CannotBuild, load
from streammem.ops.block_scan.inputs import ScanInputs
from tests.scan_cases import scan_inputs

NEEDS_COMPILER = pytest.mark.skipif(
    not native.status().ready, reason=f"the native scan is not ready: {native.status()}"
)
LOAD = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
import build
build.SOURCE = Path(sys.argv[2])
print(build.load(Path(sys.argv[3]), lambda library: None)[0]._name)
"""


def loads(source: Path, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(Path(build.__file__).parent), str(source), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def compiler(path: Path, script: str) -> str:
    """Write a compiler that answers what it is asked about itself and runs `script` otherwise."""
    path.write_text(
        f'#!/bin/sh\nfor flag; do [ "$flag" = -E ] && echo "#define __VERSION__ \\"1\\"" && exit 0'
        f"; last=$flag; done\n{script}\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Build a library of one line instead of the scan's, and return an empty cache folder."""
    source = tmp_path / "source.cpp"
    source.write_text('extern "C" __attribute__((visibility("default"))) int one() { return 1; }\n')
    monkeypatch.setattr(build, "SOURCE", source)
    return tmp_path / "cache"


def ignore(library: ctypes.CDLL) -> None:
    assert library.one() == 1


def refuse(library: ctypes.CDLL) -> None:
    raise CannotBuild("it adds wrongly")


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotBuild, match=r"no C\+\+ compiler was found; install g\+\+ or clang"):
        load(tmp_path, ignore)


def test_a_named_compiler_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(CannotBuild, match="CXX names no-such-compiler, which is not there"):
        load(tmp_path, ignore)


def test_a_compiler_that_does_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(CannotBuild, match="broken does not work: out of order"):
        load(tmp_path, ignore)


def test_a_build_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "echo no space left on device >&2; exit 1"
    monkeypatch.setenv("CXX", compiler(tmp_path / "failing", script))
    with pytest.raises(CannotBuild, match=r"failing 1, 128-bit.*cannot build it: no space left"):
        load(tmp_path / "cache", ignore)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_build_that_is_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path / "odd", 'echo text > "$last"'))
    with pytest.raises(CannotBuild, match=r"the library that odd 1, .* built cannot be loaded"):
        load(tmp_path / "cache", ignore)


def test_a_build_that_does_not_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "_SECONDS", 0.2)
    monkeypatch.setenv("CXX", compiler(tmp_path / "slow", "exec sleep 60"))
    with pytest.raises(CannotBuild, match=r"slow did not end within 0\.2 s"):
        load(tmp_path / "cache", ignore)


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path / "any", "exit 1"))
    (tmp_path / "file").touch()
    with pytest.raises(CannotBuild, match=r"cannot hold the library: .*Not a directory"):
        load(tmp_path / "file" / "cache", ignore)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path / "any", "exit 1"))
    (tmp_path / "cache").mkdir(mode=0o555)
    with pytest.raises(CannotBuild, match=r"cannot hold the library: .*Permission denied"):
        load(tmp_path / "cache", ignore)


@NEEDS_COMPILER
def test_builds_once_for_each_source(quick: Path) -> None:
    load(quick, ignore)
    (path,) = quick.iterdir()
    built = path.stat().st_mtime_ns
    load(quick, ignore)
    assert [found.stat().st_mtime_ns for found in quick.iterdir()] == [built]


@NEEDS_COMPILER
def test_flags_of_the_compiler_have_their_own_build(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(quick, ignore)
    monkeypatch.setenv("CXX", f"{build.find_compiler().command[0]} -DOTHER")
    load(quick, ignore)
    assert len(list(quick.iterdir())) == 2


@NEEDS_COMPILER
@pytest.mark.parametrize("bytes_kept", [0, 1000, -1])
def test_a_damaged_file_is_built_again(quick: Path, bytes_kept: int) -> None:
    load(quick, ignore)
    (path,) = quick.iterdir()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:bytes_kept])
    load(quick, ignore)
    (again,) = quick.iterdir()
    assert len(again.read_bytes()) > 1000


@NEEDS_COMPILER
def test_a_library_that_computes_wrongly_is_refused(quick: Path) -> None:
    with pytest.raises(CannotBuild, match="it adds wrongly"):
        load(quick, refuse)


@NEEDS_COMPILER
def test_the_trial_tells_a_wrong_library() -> None:
    library = native_library.library()
    assert library is not None
    native_library.accept(library)

    class Wrong:
        @staticmethod
        def block_scan_forward(problem: object) -> int:
            return 0

        @staticmethod
        def block_scan_backward(problem: object) -> int:
            return 0

    with pytest.raises(CannotBuild, match="computes a wrong result on this machine"):
        native_library.accept(Wrong())  # type: ignore[arg-type]


@NEEDS_COMPILER
def test_two_processes_build_at_once_beside_a_killed_one(
    quick: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as slow:
        slow.setenv("CXX", compiler(tmp_path / "slow", "exec sleep 60"))
        killed = loads(build.SOURCE, quick)
        while not list(quick.glob("building-*")) and killed.poll() is None:
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    (abandoned,) = quick.glob("building-*")
    both = [loads(build.SOURCE, quick) for _ in range(2)]
    names = {process.communicate(timeout=60)[0].strip() for process in both}
    assert {Path(name).parent for name in names} == {quick}
    assert list(quick.glob("building-*")) == [abandoned]


@NEEDS_COMPILER
def test_what_a_killed_build_left_goes_after_an_hour(quick: Path) -> None:
    (quick / "building-old").mkdir(parents=True)
    os.utime(quick / "building-old", (0, 0))
    (quick / "building-new").mkdir()
    load(quick, ignore)
    assert [path.name for path in quick.glob("building-*")] == ["building-new"]


def test_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMEM_NATIVE", "0")
    native_library.load_once.cache_clear()
    try:
        assert not native.status().ready
        inputs = ScanInputs(**scan_inputs(), reset=None)
        with pytest.raises(UsageError, match=r"turned off by STREAMMEM_NATIVE=0; choose.*torch"):
            native.scan(inputs, chunk=64)
    finally:
        native_library.load_once.cache_clear()


@NEEDS_COMPILER
def test_status_names_compiler_and_vectors() -> None:
    assert str(native.status()).startswith("built with ")
