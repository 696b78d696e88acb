"""The block scan against its recurrence in float64, outputs and gradients."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streammem.errors import UsageError
from streammem.ops.block_scan import Tiles, block_scan, naive
from streammem.ops.block_scan.inputs import ScanInputs
from tests.scan_cases import relative_error, scan_inputs

SHAPES = {
    "one token": dict(frames=1, rows=1, columns=1, tile=(1, 1)),
    "63 tokens": dict(frames=7, rows=3, columns=3, tile=(3, 3)),
    "500 tokens": dict(frames=20, rows=5, columns=5, tile=(5, 5)),
    "tiles of one": dict(batch=2, frames=33, rows=3, columns=2, tile=(1, 1)),
    "odd grid": dict(batch=2, frames=5, rows=6, columns=9, tile=(2, 3)),
    "groups": dict(frames=9, heads=6, groups=3),
    "a group for each head": dict(frames=9, heads=3, groups=3, headdim=8, state=24),
    "odd dimensions": dict(frames=9, headdim=5, state=7),
}
TENSORS = ("x", "dt", "A", "B", "C", "D", "initial_state")


def outcome(inputs: dict[str, Any], *, backend: str, chunk: int = 64) -> list[Tensor]:
    """Return y, the final state, and the gradients of a fixed mixture of both."""
    y, state = block_scan(**inputs, backend=backend, chunk=chunk)
    loss = sum(
        (part.double().flatten() * torch.linspace(-1, 1, part.numel()).double()).sum()
        for part in (y, state)
    )
    leaves = [inputs[name] for name in TENSORS if inputs.get(name) is not None]
    assert isinstance(loss, Tensor)
    return [y, state, *torch.autograd.grad(loss, leaves)]


def assert_close(got: list[Tensor], truth: list[Tensor], tolerance: float) -> None:
    for name, one, other in zip(("y", "state", *TENSORS), got, truth, strict=False):
        assert torch.isfinite(one).all(), name
        assert relative_error(one, other) < tolerance, name


@pytest.mark.parametrize("chunk", [16, 64, 256])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_torch_form_equals_the_recurrence(shape: dict[str, Any], chunk: int) -> None:
    inputs = scan_inputs(**shape, dtype=torch.float64, gradients=True)
    truth = outcome(inputs, backend="naive")
    assert_close(outcome(inputs, backend="torch", chunk=chunk), truth, 1e-12)


@pytest.mark.parametrize("chunk", [32, 128])
def test_torch_form_in_float32(chunk: int) -> None:
    shape = SHAPES["500 tokens"]
    truth = outcome(scan_inputs(**shape, dtype=torch.float64, gradients=True), backend="naive")
    inputs = scan_inputs(**shape, gradients=True)
    assert_close(outcome(inputs, backend="torch", chunk=chunk), truth, 2e-5)


def test_work_by_blocks_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = scan_inputs(batch=3, frames=30, dtype=torch.float64, gradients=True)
    monkeypatch.setattr("streammem.ops.block_scan.cpu._BLOCK_ELEMENTS", 3 * 16 * 16 * 2)
    got = outcome(inputs, backend="torch", chunk=16)
    assert_close(got, outcome(inputs, backend="naive"), 1e-12)


def test_strong_decay() -> None:
    shape = dict(frames=25, decay=30.0, gradients=True)
    truth = outcome(scan_inputs(**shape, dtype=torch.float64), backend="naive")
    assert_close(outcome(scan_inputs(**shape), backend="torch"), truth, 1e-4)


def test_decay_beyond_the_range_of_float32_stays_finite() -> None:
    got = outcome(scan_inputs(frames=25, decay=1000.0, gradients=True), backend="torch")
    assert all(torch.isfinite(tensor).all() for tensor in got)


def test_large_dt() -> None:
    inputs = scan_inputs(frames=25, dtype=torch.float64)
    inputs["dt"] = inputs["dt"] * 1e4
    y, state = block_scan(**inputs, backend="torch")
    true_y, true_state = block_scan(**inputs, backend="naive")
    assert relative_error(y, true_y) < 1e-12
    assert relative_error(state, true_state) < 1e-12


@pytest.mark.parametrize("backend", ["naive", "torch"])
def test_a_clip_after_a_reset_knows_nothing_of_the_one_before(backend: str) -> None:
    inputs = scan_inputs(batch=2, frames=9)
    reset = torch.zeros(2, 9, dtype=torch.bool)
    reset[0, 4] = reset[1, 0] = reset[1, 7] = True
    y, state = block_scan(**inputs, reset=reset, backend=backend, chunk=16)
    for clip, start, stop in ((0, 4, 9), (1, 0, 7), (1, 7, 9)):
        part = {
            name: tensor[clip : clip + 1, start:stop] if name in ("x", "dt", "B", "C") else tensor
            for name, tensor in inputs.items()
        }
        alone, end = block_scan(**{**part, "initial_state": None}, backend=backend)
        assert torch.allclose(y[clip : clip + 1, start:stop], alone, atol=1e-5)
        if stop == 9:
            assert torch.allclose(state[clip : clip + 1], end, atol=1e-5)


def test_gradients_stop_at_a_reset() -> None:
    reset = torch.rand(2, 9, generator=torch.Generator().manual_seed(1)) < 0.3
    inputs = scan_inputs(batch=2, frames=9, groups=2, dtype=torch.float64, gradients=True)
    inputs["reset"] = reset
    truth = outcome(inputs, backend="naive")
    assert_close(outcome(inputs, backend="torch", chunk=16), truth, 1e-12)


@settings(max_examples=30, deadline=None)
@given(
    frames=st.integers(2, 12),
    tile=st.sampled_from([(1, 1), (2, 1), (2, 3), (4, 6)]),
    chunk=st.sampled_from([16, 32]),
    data=st.data(),
)
def test_splitting_anywhere_gives_the_whole(
    frames: int, tile: tuple[int, int], chunk: int, data: st.DataObject
) -> None:
    inputs = scan_inputs(frames=frames, rows=4, columns=6, tile=tile, dtype=torch.float64)
    whole, end = block_scan(**inputs, backend="torch", chunk=chunk)
    cuts = sorted(data.draw(st.sets(st.integers(1, frames - 1))))
    state, outputs = inputs.pop("initial_state"), []
    for start, stop in zip([0, *cuts], [*cuts, frames], strict=True):
        part = {
            name: tensor[:, start:stop] if name in ("x", "dt", "B", "C") else tensor
            for name, tensor in inputs.items()
        }
        y, state = block_scan(**part, initial_state=state, backend="torch", chunk=chunk)
        outputs.append(y)
    assert relative_error(torch.cat(outputs, 1), whole) < 1e-12
    assert relative_error(state, end) < 1e-12


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 9),
    down=st.integers(1, 3),
    across=st.integers(1, 3),
    tile=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    groups=st.integers(1, 3),
    chunk=st.sampled_from([16, 64]),
)
def test_any_shape(
    batch: int,
    frames: int,
    down: int,
    across: int,
    tile: tuple[int, int],
    groups: int,
    chunk: int,
) -> None:
    inputs = scan_inputs(
        batch=batch,
        frames=frames,
        rows=down * tile[0],
        columns=across * tile[1],
        tile=tile,
        heads=2 * groups,
        groups=groups,
        headdim=3,
        state=4,
        dtype=torch.float64,
        gradients=True,
    )
    truth = outcome(inputs, backend="naive")
    assert_close(outcome(inputs, backend="torch", chunk=chunk), truth, 1e-11)


@pytest.mark.parametrize("backend", ["naive", "torch"])
def test_tiles_know_nothing_of_one_another(backend: str) -> None:
    inputs = scan_inputs(frames=6, rows=4, columns=4, tile=(2, 2))
    before, _ = block_scan(**inputs, backend=backend)
    inputs["x"] = inputs["x"].clone()
    inputs["x"][:, 1, 0, 3] += 7
    after, _ = block_scan(**inputs, backend=backend)
    changed = (before != after).any(-1).any(-1)[0].any(0)  # [rows, columns]
    assert changed[:2, 2:].all()
    assert not changed[2:].any()
    assert not changed[:, :2].any()


def test_later_tokens_change_nothing_before_them() -> None:
    inputs = scan_inputs(frames=6, rows=1, columns=3, tile=(1, 3))
    before, _ = block_scan(**inputs, backend="torch")
    inputs["x"] = inputs["x"].clone()
    inputs["x"][:, 3, 0, 1] += 7
    after, _ = block_scan(**inputs, backend="torch")
    changed = (before != after).any(-1).any(-1)[0].flatten()
    assert changed.tolist() == [False] * 10 + [True] * 8


def test_frames_with_dt_0_pad_a_shorter_clip() -> None:
    inputs = scan_inputs(batch=2, frames=6)
    inputs["dt"] = inputs["dt"].clone()
    inputs["dt"][1, 4:] = 0
    _, state = block_scan(**inputs, backend="torch", chunk=16)
    short = {
        name: tensor[1:, :4] if name in ("x", "dt", "B", "C") else tensor
        for name, tensor in inputs.items()
    }
    short["initial_state"] = inputs["initial_state"][1:]
    _, end = block_scan(**short, backend="torch", chunk=16)
    assert torch.allclose(state[1:], end, atol=1e-6)


def test_bfloat16_keeps_its_state_in_float32() -> None:
    inputs = scan_inputs(frames=20, dtype=torch.bfloat16)
    y, state = block_scan(**inputs, backend="torch")
    assert y.dtype == torch.bfloat16
    assert state.dtype == torch.float32
    true_y, true_state = naive.scan(ScanInputs(**inputs, reset=None), chunk=64)
    assert relative_error(y, true_y) < 5e-3
    assert relative_error(state, true_state) < 1e-5


def test_gradcheck() -> None:
    inputs = scan_inputs(
        frames=3, rows=2, columns=2, tile=(2, 1), headdim=2, state=3, dtype=torch.float64
    )
    layout = inputs.pop("layout")
    leaves = [inputs[name].requires_grad_() for name in TENSORS]

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(TENSORS, tensors, strict=True))
        return block_scan(**named, layout=layout, backend="torch", chunk=16)

    assert torch.autograd.gradcheck(run, leaves)


def test_without_d_and_state() -> None:
    inputs = scan_inputs(dtype=torch.float64, gradients=True)
    inputs["D"] = inputs["initial_state"] = None
    assert_close(outcome(inputs, backend="torch"), outcome(inputs, backend="naive"), 1e-12)


def test_torch_compile() -> None:
    inputs = scan_inputs(frames=12, gradients=True)
    compiled = torch.compile(block_scan, fullgraph=True, backend="aot_eager")
    y, state = compiled(**inputs, backend="torch", chunk=16)
    expected, end = block_scan(**inputs, backend="torch", chunk=16)
    assert torch.allclose(y, expected, atol=1e-5)
    assert torch.allclose(state, end, atol=1e-5)
    got = torch.autograd.grad(y.square().sum() + state.sum(), inputs["B"])
    want = torch.autograd.grad(expected.square().sum() + end.sum(), inputs["B"])
    assert torch.allclose(got[0], want[0], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(x=torch.zeros(2, 3)), r"x must be \[batch, frames, .*\], got \[2, 3\]"),
        (dict(B=torch.zeros(2, 3)), r"B must be \[batch, frames, .*\], got \[2, 3\]"),
        (dict(x=torch.zeros(1, 0, 4, 4, 2, 16)), r"at least one token, got \[1, 0, 4, 4, 2, 16\]"),
        (dict(dt=torch.zeros(1, 2, 4, 4)), r"dt must be \[1, 2, 4, 4, 2\] .* got \[1, 2, 4, 4\]"),
        (dict(A=torch.zeros(3)), r"A must be \[2\] beside this x, got \[3\]"),
        (dict(D=torch.zeros(3)), r"D must be \[2\]"),
        (dict(C=torch.zeros(1, 2, 4, 4, 1, 8)), r"C must be \[1, 2, 4, 4, 1, 16\]"),
        (dict(B=torch.zeros(1, 2, 4, 4, 3, 16)), "divide the heads of x, got 3 groups for 2 heads"),
        (dict(initial_state=torch.zeros(1, 4, 2, 16, 8)), r"initial_state must be \[1, 4, 2, 16"),
        (dict(reset=torch.zeros(1, 3, dtype=torch.bool)), r"reset must be \[1, 2\]"),
        (dict(chunk=48), "chunk must be one of 16, 32, 64, 128, 256, got 48"),
        (
            dict(layout=Tiles(3, 2)),
            "tiles of 3 x 2 do not divide a grid of 4 x 4; "
            "choose a height of 1, 2, 4 and a width of 1, 2, 4",
        ),
        (dict(layout=Tiles(0, 2)), "tiles of 0 x 2 do not divide"),
    ],
)
def test_wrong_shapes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block_scan(**{**scan_inputs(), **change})


def test_unknown_backend() -> None:
    with pytest.raises(UsageError, match=r"scan backend 'cuda' is not known; choose one of auto"):
        block_scan(**scan_inputs(), backend="cuda")


@pytest.mark.parametrize("tile", [(1, 1), (2, 3), (4, 6), (4, 1)])
def test_sequences_and_back(tile: tuple[int, int]) -> None:
    tokens = torch.arange(2 * 3 * 4 * 6 * 5.0).reshape(2, 3, 4, 6, 5)
    layout = Tiles(*tile)
    sequences = layout.sequences(tokens)
    assert torch.equal(layout.grid(sequences, tokens.shape), tokens)
    down, across = layout.counts(4, 6)
    area = tile[0] * tile[1]
    row, column, second = tile[0] - 1, 6 - 1, 1
    tile_number = second * down * across + (row // tile[0]) * across + column // tile[1]
    token = 2 * area + (row % tile[0]) * tile[1] + column % tile[1]
    assert torch.equal(sequences[tile_number, token], tokens[second, 2, row, column])
