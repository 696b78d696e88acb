"""The Triton kernels of the block scan on a GPU: right, and how fast.

python -m pytest -m gpu -s tests/streammem/ops/test_scan_gpu.py
"""

import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from streammem.ops.block_scan import block_scan, naive
from streammem.ops.block_scan.inputs import ScanInputs
from tests.scan_cases import relative_error, scan_inputs

pytestmark = pytest.mark.gpu

TENSORS = ("x", "dt", "A", "B", "C", "D", "initial_state")
ROUNDS = 20
SHAPES: dict[str, dict[str, Any]] = {
    "1 x 4096": dict(frames=64, rows=8, columns=8, tile=(8, 8), heads=8),
    "64 x 512": dict(frames=8, rows=64, columns=64, tile=(8, 8), heads=8),
    "streaming": dict(frames=1, rows=16, columns=16, tile=(4, 4), heads=8),
    "ragged": dict(batch=2, frames=37, rows=6, columns=9, tile=(2, 3), heads=6, groups=3),
    "1 x 1": dict(frames=300, rows=3, columns=5, tile=(1, 1), heads=4),
}
SIZES = [(16, 16), (64, 64), (128, 128), (48, 80)]


@pytest.fixture(scope="module", autouse=True)
def gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("triton")


def on_gpu(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: part.detach().cuda().requires_grad_(part.requires_grad)
        if isinstance(part, Tensor)
        else part
        for name, part in inputs.items()
    }


def outcome(scan: Callable[..., tuple[Tensor, Tensor]], inputs: dict[str, Any]) -> list[Tensor]:
    """Return y, the final state, and the gradients of a fixed mixture of both."""
    y, state = scan(**inputs)
    loss = sum(
        (
            part.double().flatten()
            * torch.linspace(-1, 1, part.numel()).to(part.device, torch.double)
        ).sum()
        for part in (y, state)
    )
    assert isinstance(loss, Tensor)
    return [y, state, *torch.autograd.grad(loss, [inputs[name] for name in TENSORS])]


def true_outcome(inputs: dict[str, Any]) -> list[Tensor]:
    """Return the same by the torch form in float64, which equals the recurrence to 1e-12."""
    wide = {
        name: part.detach().double().requires_grad_(part.requires_grad)
        if isinstance(part, Tensor) and part.is_floating_point()
        else part
        for name, part in inputs.items()
    }
    return outcome(lambda **given: block_scan(**given, backend="torch"), wide)


def norm_error(got: Tensor, truth: Tensor) -> float:
    truth = truth.detach().double()
    return float((got.detach().double() - truth).norm() / truth.norm())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("dtype", "precision", "tolerance"),
    [
        (torch.float32, "highest", 1e-4),
        (torch.float32, "high", 5e-3),
        (torch.float16, "highest", 5e-3),
        (torch.bfloat16, "highest", 2e-2),
    ],
    ids=["exact", "tf32", "float16", "bfloat16"],
)
def test_kernels_equal_the_recurrence(
    shape: dict[str, Any],
    size: tuple[int, int],
    dtype: torch.dtype,
    precision: str,
    tolerance: float,
) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        headdim, state = size
        inputs = on_gpu(
            scan_inputs(**shape, headdim=headdim, state=state, dtype=dtype, gradients=True)
        )
        reset = torch.zeros(inputs["x"].shape[:2], dtype=torch.bool, device="cuda")
        reset[-1, shape["frames"] // 2] = True
        for given in (inputs, {**inputs, "reset": reset}):
            got = outcome(lambda **kwargs: block_scan(**kwargs, backend="triton"), given)
            again = outcome(lambda **kwargs: block_scan(**kwargs, backend="triton"), given)
            for name, one, other, true in zip(
                ("y", "state", *TENSORS), got, again, true_outcome(given), strict=True
            ):
                assert norm_error(one, true) < tolerance, name
                assert torch.equal(one, other), f"{name} differs from run to run"
    finally:
        torch.set_float32_matmul_precision(before)


def test_recurrence_token_by_token() -> None:
    inputs = on_gpu(scan_inputs(frames=20, rows=5, columns=5, tile=(5, 5)))
    y, state = block_scan(**inputs, backend="triton")
    true_y, true_state = naive.scan(ScanInputs(**inputs, reset=None), chunk=64)
    assert relative_error(y, true_y) < 1e-4
    assert relative_error(state, true_state) < 1e-4


@pytest.mark.parametrize("shape", [SHAPES["1 x 4096"], SHAPES["64 x 512"]], ids=["1", "64"])
def test_speed(shape: dict[str, Any]) -> None:
    """Print milliseconds, the median of rounds in turns; nothing is asserted of them."""
    inputs = on_gpu(
        scan_inputs(**shape, headdim=64, state=64, dtype=torch.bfloat16, gradients=True)
    )
    inputs["initial_state"] = None
    forms: dict[str, Callable[[], Tensor]] = {
        "triton": lambda: block_scan(**inputs, backend="triton")[0],
        "torch": lambda: block_scan(**inputs, backend="torch")[0],
    }
    peer = simple_gla(inputs)
    if peer is not None:
        assert norm_error(peer(), forms["torch"]()) < 2e-2
        forms["fla chunk_simple_gla"] = peer
    for name, times in measured(forms, inputs["x"]).items():
        forward, both = (statistics.median(part) for part in times)
        print(f"\n{name:22} forward {forward:8.3f} ms, with backward {both:8.3f} ms", end="")


def simple_gla(inputs: dict[str, Any]) -> Callable[[], Tensor] | None:
    """Return fla-core's scan of the same, copies into its layout and out of it included."""
    try:
        from fla.ops.simple_gla import chunk_simple_gla  # type: ignore[import-not-found]
    except ImportError:
        print("\nfla-core is not installed", end="")
        return None
    layout, shape = inputs["layout"], inputs["x"].shape
    heads = shape[4]

    def scan() -> Tensor:
        x, dt, B, C = (layout.sequences(inputs[name]) for name in ("x", "dt", "B", "C"))
        v = (x * dt[..., None]).to(x.dtype)
        k, q = (tokens.expand(-1, -1, heads, -1).contiguous() for tokens in (B, C))
        y, _ = chunk_simple_gla(q=q, k=k, v=v, g=dt * inputs["A"], scale=1.0)
        return layout.grid(y + inputs["D"][:, None].to(y.dtype) * x, shape)

    return scan


def measured(
    forms: dict[str, Callable[[], Tensor]], x: Tensor
) -> dict[str, tuple[list[float], list[float]]]:
    """Return milliseconds of forward, and of forward and backward, in turns."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in forms}
    gradient = torch.randn_like(x)
    for turn in range(ROUNDS + 3):
        for name, form in forms.items():
            with torch.no_grad():
                forward = milliseconds(form)
            both = milliseconds(lambda form=form: form().backward(gradient))
            if turn >= 3:
                times[name][0].append(forward)
                times[name][1].append(both)
    return times


def milliseconds(work: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end))
