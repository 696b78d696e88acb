"""Which backend `auto` takes, and why."""

import pytest
import torch

from streammem.ops.block_scan import block_scan, choose, native, native_library
from tests.scan_cases import relative_error, scan_inputs


def test_a_cpu_takes_the_native_form_where_it_is_ready() -> None:
    x = scan_inputs()["x"]
    chosen = choose(x, x)
    assert chosen.name == ("native" if native.status().ready else "torch")
    assert chosen.reason == native.status().reason


def test_without_the_native_form_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMEM_NATIVE", "0")
    native_library.load_once.cache_clear()
    x = scan_inputs()["x"]
    try:
        assert str(choose(x, x)) == "torch (turned off by STREAMMEM_NATIVE=0)"
        y, _ = block_scan(**scan_inputs())
    finally:
        native_library.load_once.cache_clear()
    truth, _ = block_scan(**scan_inputs(), backend="naive")
    assert relative_error(y, truth) < 1e-5


def test_float64_and_other_devices_take_the_torch_form() -> None:
    x = scan_inputs(dtype=torch.float64)["x"]
    assert str(choose(x, x)) == "torch (float64 on cpu)"
    elsewhere = torch.empty(1, 1, 1, 1, 1, 16, device="meta")
    assert str(choose(elsewhere, elsewhere)) == "torch (float32 on meta)"


def test_auto_can_be_compiled() -> None:
    inputs = scan_inputs(frames=12)
    compiled = torch.compile(block_scan, fullgraph=True, backend="aot_eager")
    y, state = compiled(**inputs)
    truth, end = block_scan(**inputs, backend="naive")
    assert relative_error(y, truth) < 1e-5
    assert relative_error(state, end) < 1e-5
