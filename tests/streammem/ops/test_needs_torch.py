"""Without torch, what needs it says which command adds it, and the rest goes on."""

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules['torch'] = None; "


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("op", ["block_scan", "local_attention", "memory_attention"])
def test_an_operation_on_tensors_names_the_extra(op: str) -> None:
    failed = run(f"import streammem.ops.{op}")
    assert failed.returncode == 1
    assert failed.stderr.endswith(
        "MissingExtra: torch is not installed; add it with: pip install 'streammem[world]'\n"
    )


def test_surfels_need_no_torch() -> None:
    assert run("import memory_banks.surfel_bank, streammem.ops.surfel_raster").returncode == 0
