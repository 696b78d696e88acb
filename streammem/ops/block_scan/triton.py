"""The scan on a GPU, in kernels of Triton."""

import contextlib
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor
from torch.autograd.function import once_differentiable

from streammem.ops.block_scan.inputs import ScanInputs
from streammem.ops.block_scan.layout import Tiles
from streammem.ops.block_scan.triton_blocks import Card
from streammem.ops.block_scan.triton_launch import Inputs, Plan

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_LARGEST = 128


def scan(given: ScanInputs, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Return `(y, final_state)` of `block_scan`; the kernels choose chunks of 16 to 64 themselves.

    Products are taken in bfloat16 for a bfloat16 x, as `torch.get_float32_matmul_precision` says
    for float32, and in tf32, which has float16's precision and no less range, for float16. The
    state is float32 throughout. Raises ValueError for what `supports` refuses.
    """
    x, dt, A, B, C, D, layout, initial_state, reset = given
    reason = supports(x, B)
    if reason is not None:
        raise ValueError(reason)
    clips = None if reset is None else reset.cumsum(1, dtype=torch.int32)
    y, last = _Scan.apply(x, dt, A, B, C, D, initial_state, clips, layout)
    return y, last


def supports(x: Tensor, B: Tensor) -> str | None:
    """Return why the kernels cannot scan these tensors, or None where they can."""
    headdim, state = x.shape[-1], B.shape[-1]
    if x.dtype not in _DTYPES:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in _DTYPES)
        return f"the Triton kernels take {allowed}, x is {str(x.dtype).removeprefix('torch.')}"
    if max(headdim, state) > _LARGEST:
        return (
            f"the Triton kernels take headdim and state up to {_LARGEST}, "
            f"got a headdim of {headdim} and a state of {state}"
        )
    if triton.knobs.runtime.interpret:
        return None
    if not x.is_cuda:
        return f"the Triton kernels run on a GPU, x is on {x.device}"
    if torch.version.hip is None and torch.cuda.get_device_capability(x.device) < (8, 0):
        return f"the Triton kernels need a GPU of capability 8.0, {x.device} has less"
    return None


def card(device: torch.device) -> Card:
    """Return what the kernels need to know of a device; the interpreter runs one program."""
    if device.type != "cuda":
        return Card("interpreter", 1)
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip is None:
        name = f"sm_{properties.major}{properties.minor}"
    else:
        name = properties.gcnArchName.split(":")[0]
    return Card(name, properties.multi_processor_count)


class _Scan(torch.autograd.Function):
    """The scan of a grid of tokens."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        first: Tensor | None,
        clips: Tensor | None,
        layout: Tiles,
    ) -> tuple[Tensor, Tensor]:
        """Return y like x, and the last state `[batch, tiles, heads, N, P]`."""
        inputs = Inputs(
            _rows(x),
            dt,
            A.contiguous(),
            _rows(B),
            _rows(C),
            None if D is None else D.contiguous(),
            None if first is None else first.contiguous(),
            clips,
            layout,
        )
        plan = Plan(inputs, card(x.device))
        batch, _, rows, columns, heads, headdim = x.shape
        down, across = layout.counts(rows, columns)
        y = x.new_empty(x.shape)
        last = x.new_empty(batch, down * across, heads, B.shape[-1], headdim, dtype=torch.float32)
        starts = plan.chunk_states() if any(ctx.needs_input_grad) else None
        with _on(x):
            for launch in plan.forward(y, starts, last):
                launch()
        ctx.save_for_backward(
            inputs.x, dt, inputs.A, inputs.B, inputs.C, inputs.D, inputs.first, clips, starts
        )
        ctx.layout = layout
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took."""
        x, dt, A, B, C, D, first, clips, starts = ctx.saved_tensors
        batch, frames, rows, columns, heads, _ = x.shape
        groups, state = B.shape[-2:]
        dy, dlast = _rows(dy), dlast.contiguous()
        plan = Plan(Inputs(x, dt, A, B, C, D, first, clips, ctx.layout), card(x.device))
        partial = torch.float32 if plan.adds < plan.share else B.dtype
        dx, ends = x.new_empty(x.shape), plan.chunk_states()
        ddt = dt.new_empty(3 * batch, frames, rows, columns, heads, dtype=torch.float32)
        dB, dC = (
            B.new_empty(batch, frames, rows, columns, heads // plan.adds, state, dtype=partial)
            for _ in range(2)
        )
        dA = A.new_empty(3, plan.rows, plan.chunks, dtype=torch.float32)
        dD = None if D is None else D.new_empty(plan.rows, plan.chunks, dtype=torch.float32)
        dfirst = None if first is None else torch.empty_like(first)
        with _on(x):
            for launch in plan.backward(dy, dlast, dx, ends, dfirst):
                launch()
            plan.gather(dy, starts, ends, ddt, dA, dB, dC, dD)()
        dA = dA.sum((0, 2)).unflatten(0, (-1, heads)).sum(0)
        if dD is not None:
            dD = dD.sum(1).unflatten(0, (-1, heads)).sum(0).to(D.dtype)
        return (
            dx,
            ddt.unflatten(0, (3, batch)).sum(0).to(dt.dtype),
            dA.to(A.dtype),
            dB.unflatten(4, (groups, -1)).sum(5).to(B.dtype),
            dC.unflatten(4, (groups, -1)).sum(5).to(C.dtype),
            dD,
            dfirst,
            None,
            None,
        )


def _rows(tokens: Tensor) -> Tensor:
    """Return tokens with a contiguous last axis, which is all that the kernels ask for."""
    return tokens if tokens.stride(-1) == 1 else tokens.contiguous()


def _on(tensor: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which kernels run where the tensor is."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
