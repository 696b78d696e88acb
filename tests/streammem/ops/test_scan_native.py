"""The native scan against the recurrence in float64, outputs and gradients."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from streammem.errors import UsageError
from streammem.ops.block_scan import Tiles, naive, native
from streammem.ops.block_scan.inputs import ScanInputs
from tests.scan_cases import relative_error, scan_inputs

NEEDS_COMPILER = pytest.mark.skipif(
    not native.status().ready, reason=f"the native scan is not ready: {native.status()}"
)
pytestmark = NEEDS_COMPILER

TENSORS = ("x", "dt", "A", "B", "C", "D", "initial_state")
SHAPES: dict[str, dict[str, Any]] = {
    "one token": dict(frames=1, rows=1, columns=1, tile=(1, 1)),
    "63 tokens": dict(frames=7, rows=3, columns=3, tile=(3, 3)),
    "500 tokens": dict(frames=20, rows=5, columns=5, tile=(5, 5)),
    "tiles of one": dict(batch=2, frames=33, rows=3, columns=2, tile=(1, 1)),
    "odd grid": dict(batch=2, frames=5, rows=6, columns=9, tile=(2, 3)),
    "groups": dict(frames=9, heads=6, groups=3),
    "a group for each head": dict(frames=9, heads=3, groups=3, headdim=8, state=24),
    "tiny dimensions": dict(frames=9, headdim=5, state=7),
    "24 x 40": dict(frames=9, headdim=24, state=40, heads=3),
    "64 x 64": dict(frames=9, headdim=64, state=64, heads=4),
    "128 x 16": dict(frames=9, headdim=128, state=16),
    "256 x 200": dict(frames=5, headdim=256, state=200),
}


def run(form: Any, inputs: dict[str, Any], *, chunk: int = 64) -> tuple[Tensor, Tensor]:
    given = {"D": None, "initial_state": None, "reset": None} | inputs
    y, state = form.scan(ScanInputs(**given), chunk=chunk)
    return y, state


def outcome(form: Any, inputs: dict[str, Any], *, chunk: int = 64) -> list[Tensor]:
    """Return y, the final state, and the gradients of a fixed mixture of both."""
    y, state = run(form, inputs, chunk=chunk)
    loss = torch.zeros((), dtype=torch.float64)
    for part in (y, state):
        loss = loss + part.double().flatten() @ torch.linspace(-1, 1, part.numel()).double()
    leaves = [inputs[name] for name in TENSORS if inputs.get(name) is not None]
    return [y, state, *torch.autograd.grad(loss, leaves)]


def assert_close(got: list[Tensor], truth: list[Tensor], tolerance: float) -> None:
    for place, (one, other) in enumerate(zip(got, truth, strict=True)):
        assert torch.isfinite(one).all(), place
        assert relative_error(one, other) < tolerance, place


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_the_recurrence(shape: dict[str, Any]) -> None:
    inputs = scan_inputs(**shape, gradients=True)
    truth = outcome(naive, inputs)
    for chunk in (16, 32, 64, 256):
        assert_close(outcome(native, inputs, chunk=chunk), truth, 3e-5)


def test_without_skip_and_initial_state() -> None:
    inputs = scan_inputs(frames=40, gradients=True)
    del inputs["D"], inputs["initial_state"]
    assert_close(outcome(native, inputs), outcome(naive, inputs), 3e-5)


@pytest.mark.parametrize("tile", [(1, 1), (2, 2), (4, 4)])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_resets(tile: tuple[int, int], share: float) -> None:
    inputs = scan_inputs(batch=2, frames=20, tile=tile, headdim=24, gradients=True)
    reset = torch.rand(2, 20, generator=torch.Generator().manual_seed(1)) < share
    inputs["reset"] = reset
    assert_close(outcome(native, inputs, chunk=32), outcome(naive, inputs), 3e-5)


@pytest.mark.parametrize("decay", [30.0, 1000.0])
def test_strong_decay(decay: float) -> None:
    inputs = scan_inputs(frames=100, decay=decay, gradients=True)
    got, truth = outcome(native, inputs), outcome(naive, inputs)
    assert all(torch.isfinite(tensor).all() for tensor in got)
    place_of_A = 2 + TENSORS.index("A")
    assert relative_error(got.pop(place_of_A), truth.pop(place_of_A)) < 1e-3
    assert_close(got, truth, 3e-5)


def test_weak_decay_keeps_its_precision_behind_a_strong_one() -> None:
    inputs = scan_inputs(frames=64, rows=1, columns=1, tile=(1, 1), gradients=True)
    with torch.no_grad():
        inputs["dt"][:, 1::7] = 1e3
    assert_close(outcome(native, inputs), outcome(naive, inputs), 3e-5)


def test_padded_tokens_leave_the_state_as_it_is() -> None:
    inputs = scan_inputs(frames=40)
    inputs["dt"][:, 13:] = 0
    short = {name: inputs[name][:, :13] for name in ("x", "dt", "B", "C")}
    assert relative_error(run(native, inputs)[1], run(naive, inputs | short)[1]) < 1e-6


def test_nan_is_not_hidden() -> None:
    inputs = scan_inputs(frames=40)
    inputs["dt"][0, 20, 0, 0, 0] = torch.nan
    y, state = run(native, inputs)
    assert torch.isnan(state[0, 0, 0]).all() and not torch.isnan(state[0, 1:]).any()
    assert torch.isnan(y[0, 21:, :2, :2, 0]).all() and not torch.isnan(y[0, :16]).any()


@pytest.mark.parametrize("frames", [[1] * 30, [7, 1, 22], [29, 1]])
def test_streaming_equals_the_whole(frames: list[int]) -> None:
    inputs = scan_inputs(frames=30, headdim=24)
    whole, end = run(native, inputs)
    parts, state, start = [], inputs["initial_state"], 0
    for count in frames:
        now = {name: inputs[name][:, start : start + count] for name in ("x", "dt", "B", "C")}
        y, state = run(native, inputs | now | {"initial_state": state})
        parts.append(y)
        start += count
    assert relative_error(torch.cat(parts, dim=1), whole) < 2e-6
    assert relative_error(state, end) < 2e-6


def test_tiles_do_not_see_one_another() -> None:
    inputs = scan_inputs(frames=20)
    whole, end = run(native, inputs)
    inputs["x"][:, :, :2, :2] += 1
    changed, other_end = run(native, inputs)
    assert torch.equal(changed[:, :, 2:], whole[:, :, 2:])
    assert torch.equal(other_end[:, 1:], end[:, 1:])
    assert not torch.equal(other_end[:, 0], end[:, 0])


@pytest.mark.parametrize("batch", [1, 3])
def test_threads_do_not_change_a_bit(threads: None, batch: int) -> None:
    inputs = scan_inputs(
        batch=batch, frames=700, tile=(4, 4), heads=6, groups=2, headdim=32, gradients=True
    )
    results = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        results.append(outcome(native, inputs))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_inputs_with_a_wide_state(dtype: torch.dtype) -> None:
    inputs = scan_inputs(frames=20, dtype=dtype, gradients=True)
    got = outcome(native, inputs)
    assert got[0].dtype == dtype and got[1].dtype == torch.float32
    assert relative_error(got[1], run(naive, inputs)[1]) < 1e-6
    assert_close(got, outcome(naive, inputs), 2e-2)


def test_views_are_read_where_they_lie() -> None:
    inputs = scan_inputs(batch=2, frames=6, gradients=True)
    joint = torch.cat([inputs[name].detach().flatten(4) for name in ("x", "B", "C")], dim=-1)
    views = joint.split([32, 16, 16], dim=-1)
    sliced = dict(
        zip(("x", "B", "C"), (view.unflatten(-1, (-1, 16)) for view in views), strict=True)
    )
    assert not sliced["x"].is_contiguous()
    with torch.no_grad():
        want, state = run(native, inputs)
        for given in (sliced, {"x": inputs["x"].transpose(0, 1).contiguous().transpose(0, 1)}):
            y, end = run(native, inputs | given)
            assert torch.equal(y, want) and torch.equal(end, state)


def test_only_one_of_the_outputs_is_used() -> None:
    inputs = scan_inputs(frames=20, gradients=True)
    for place in (0, 1):
        got, truth = (
            torch.autograd.grad(run(form, inputs)[place].sum(), inputs["x"])
            for form in (native, naive)
        )
        assert_close(list(got), list(truth), 1e-5)


def test_the_result_can_be_compiled() -> None:
    inputs = scan_inputs(frames=9, gradients=True)
    leaves = {name: inputs[name] for name in TENSORS}

    def layer(x: Tensor, **rest: Tensor) -> Tensor:
        assert native.status().ready
        y, state = run(native, {"x": 2 * x, "layout": Tiles(2, 2)} | rest)
        return y.sin().sum() + state.sum()

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    got, want = (torch.autograd.grad(f(**leaves), list(leaves.values())) for f in (compiled, layer))
    assert_close(list(got), list(want), 1e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("whole", [True, False])
def test_operator_keeps_the_rules_of_torch(whole: bool) -> None:
    inputs = scan_inputs(headdim=5, gradients=True)
    first = [inputs[name] for name in TENSORS[:5]]
    rest = [inputs["D"], inputs["initial_state"], torch.tensor([[False, True]])]
    torch.library.opcheck(
        native.operator, (*first, *(rest if whole else [None] * 3), 2, 2, 64, True)
    )


def test_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(UsageError, match=r"takes float32.*got torch.float64 on cpu"):
        run(native, scan_inputs(dtype=torch.float64))
