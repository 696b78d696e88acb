"""`block_scan`: checks the input and hands it to the backend that is fastest on its device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from streammem.errors import one_of
from streammem.ops.block_scan import cpu, naive
from streammem.ops.block_scan.checks import check
from streammem.ops.block_scan.inputs import ScanInputs
from streammem.ops.block_scan.layout import Tiles

BACKENDS = ("auto", "native", "torch", "triton", "naive")
_NATIVE = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Backend:
    """A chosen backend and the reason for the choice."""

    name: Literal["native", "torch", "triton", "naive"]
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def block_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    layout: Tiles,
    initial_state: Tensor | None = None,
    reset: Tensor | None = None,
    chunk: int = 64,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Scan every tile of a video by the state-space duality (SSD) and return `(y, final_state)`.

    For each head, over the tokens t of a tile in the order of `Tiles`:

        S_t = exp(dt_t A) S_{t-1} + dt_t B_t x_t^T        S [state, headdim]
        y_t = C_t^T S_t + D x_t

    `x [batch, frames, height, width, heads, headdim]`, `dt [..., heads]` at least 0, `A [heads]`
    below 0, `B` and `C [..., groups, state]` shared by `heads / groups` heads, `D [heads]`.
    `initial_state` and `final_state [batch, tiles, heads, state, headdim]` are float32 (float64
    for a float64 x); None starts from zeros. `reset [batch, frames]` bool empties the state before
    the marked frames, where another clip begins. A token with dt = 0 leaves the state as it is, so
    clips of unequal length are padded with such frames. `y` has the shape and dtype of `x`.

    Streaming is the same function: a call with the `final_state` of the last continues it, however
    the frames are split. All inputs but `reset` get gradients. `chunk` trades work in a chunk
    against work between chunks; it does not change the result.

    Mamba-2, arXiv 2405.21060, section 6; tiles as in arXiv 2505.20171, section 4.
    Raises ValueError where shapes do not fit, UsageError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise one_of("scan backend", backend, BACKENDS)
    given = ScanInputs(x, dt, A, B, C, D, layout, initial_state, reset)
    check(given, chunk=chunk)
    name = choose(x, B).name if backend == "auto" else backend
    y, state = _form(name)(given, chunk=chunk)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    return y.to(x.dtype), state.to(wide)


def _form(name: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the backend's `scan`; those that need a compiler or a GPU are imported when used."""
    if name == "native":
        from streammem.ops.block_scan import native

        return native.scan
    if name == "triton":
        from streammem.ops.block_scan import triton

        return triton.scan
    return cpu.scan if name == "torch" else naive.scan


def choose(x: Tensor, B: Tensor) -> Backend:
    """Return the backend that `auto` takes for these tensors, and why."""
    device, dtype = x.device.type, str(x.dtype).removeprefix("torch.")
    if device == "cuda":
        try:
            from streammem.ops.block_scan import triton
        except ImportError:
            return Backend("torch", "triton is not installed; pip install 'streammem[gpu]'")
        problem = triton.supports(x, B)
        return Backend("triton", "cuda") if problem is None else Backend("torch", problem)
    if device != "cpu" or x.dtype not in _NATIVE:
        return Backend("torch", f"{dtype} on {device}")
    from streammem.ops.block_scan import native

    built = native.status()
    return Backend("native" if built.ready else "torch", built.reason)
