"""The scan by a C++ kernel that is built on this machine when first used: for CPUs, in float32.

The kernel reads tokens where they lie, tile by tile, so nothing is permuted here; what is not
float32 is converted. It is an operator of torch, so that compiled functions may hold it.
"""

import ctypes
from typing import Any, Final

import torch
from torch import Tensor

from streammem.errors import UsageError
from streammem.ops.block_scan import native_library
from streammem.ops.block_scan.build import NativeStatus
from streammem.ops.block_scan.inputs import ScanInputs
from streammem.ops.block_scan.native_library import PADDING, Problem

_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def status() -> NativeStatus:
    """Return whether the kernel is ready; the first call builds or loads it."""
    return native_library.status()


def scan(given: ScanInputs, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Return `(y, final_state)` of `block_scan`, y in the dtype of x and the state in float32.

    Raises UsageError where the library cannot be built, and for what is not on a CPU or is wider
    than float32.
    """
    x, dt, A, B, C, D, layout, initial_state, reset = given
    if x.device.type != "cpu" or x.dtype not in _DTYPES:
        raise UsageError(
            f"the native scan takes float32, bfloat16 or float16 on a cpu, got {x.dtype} on "
            f"{x.device.type}; choose the backend torch"
        )
    tensors = (x, dt, A, B, C, D, initial_state)
    narrow = tuple(
        t if t is None or t.dtype == torch.float32 else t.to(torch.float32) for t in tensors
    )
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    run: Any = operator if save or torch.compiler.is_compiling() else _forward
    y, state, _ = run(*narrow, reset, layout.height, layout.width, chunk, save)
    return (y if y.dtype == x.dtype else y.to(x.dtype)), state


def _forward(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial_state: Tensor | None,
    reset: Tensor | None,
    tile_height: int,
    tile_width: int,
    chunk: int,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, the final state and, where `save`, the state before each chunk for backward."""
    y, state, saved = _outputs(x, B, tile_height, tile_width, chunk, save)
    _call(
        "block_scan_forward",
        (x, dt, A, B, C, D, initial_state, reset),
        (tile_height, tile_width, chunk),
        (y, state, saved if save else None),
    )
    return y, state, saved


def _backward(
    dy: Tensor,
    dfinal: Tensor | None,
    saved: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial_state: Tensor | None,
    reset: Tensor | None,
    tile_height: int,
    tile_width: int,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, dt, A, B, C, D and the initial state; empty for what is None."""
    dx, ddt, dA, dB, dC, dD, dinitial = _gradients(x, dt, A, B, C, D, initial_state)
    _call(
        "block_scan_backward",
        (x, dt, A, B, C, D, initial_state, reset),
        (tile_height, tile_width, chunk),
        (None, None, saved),
        dy,
        None if dfinal is None else dfinal.contiguous(),
        (
            dx,
            ddt,
            dA,
            dB,
            dC,
            None if D is None else dD,
            None if initial_state is None else dinitial,
        ),
    )
    return dx, ddt, dA, dB, dC, dD, dinitial


def _outputs(
    x: Tensor, B: Tensor, tile_height: int, tile_width: int, chunk: int, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    batch, frames, rows, columns, heads, headdim = x.shape
    state = B.shape[-1]
    tiles = (rows // tile_height) * (columns // tile_width)
    chunks = -(-frames * tile_height * tile_width // chunk)
    row = -(-headdim // PADDING) * PADDING
    return (
        x.new_empty(x.shape),
        x.new_empty(batch, tiles, heads, state, headdim),
        x.new_empty((batch * tiles, chunks, heads, state, row) if save else 0),
    )


def _gradients(*given: Tensor | None) -> tuple[Tensor, ...]:
    some = next(t for t in given if t is not None)
    return tuple(some.new_empty(0 if t is None else t.shape) for t in given)


def _call(
    function: str,
    inputs: tuple[Tensor | None, ...],
    settings: tuple[int, int, int],
    outputs: tuple[Tensor | None, Tensor | None, Tensor | None],
    dy: Tensor | None = None,
    dfinal: Tensor | None = None,
    gradients: tuple[Tensor | None, ...] = (None,) * 7,
) -> None:
    native = native_library.library()
    if native is None:
        raise UsageError(f"the native scan is not ready: {status()}; choose the backend torch")
    x, dt, A, B, C, D, initial_state, reset = inputs
    assert x is not None and dt is not None and B is not None and C is not None
    tile_height, tile_width, chunk = settings
    *grid, heads, headdim = x.shape
    groups, state = B.shape[-2:]
    x, x_stride = _rows(x, heads * headdim)
    dt, dt_stride = _rows(dt, heads)
    B, B_stride = _rows(B, groups * state)
    C, C_stride = _rows(C, groups * state)
    dy, dy_stride = (None, 0) if dy is None else _rows(dy, heads * headdim)
    A, D, initial_state, reset = (
        None if t is None else t.contiguous() for t in (A, D, initial_state, reset)
    )
    pointers = (x, dt, A, B, C, D, initial_state, reset, *outputs, dy, dfinal, *gradients)
    problem = Problem(
        *grid,
        tile_height,
        tile_width,
        heads,
        headdim,
        groups,
        state,
        chunk,
        torch.get_num_threads(),
        x_stride,
        dt_stride,
        B_stride,
        C_stride,
        dy_stride,
        *[None if t is None else t.data_ptr() for t in pointers],
    )
    if getattr(native, function)(ctypes.byref(problem)):
        raise MemoryError(f"{function} found no memory for its working space")


def _rows(tokens: Tensor, width: int) -> tuple[Tensor, int]:
    """Return the tokens, each a whole row, and the stride between them; copied if it must be."""
    if tokens.is_contiguous():
        return tokens, width
    rows = tokens.flatten(0, 3).flatten(1)
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    return rows, rows.stride(0)


operator = torch.library.custom_op(
    "streammem::block_scan", _forward, mutates_args=(), device_types="cpu"
)
_operator_backward = torch.library.custom_op(
    "streammem::block_scan_backward", _backward, mutates_args=(), device_types="cpu"
)


@operator.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, B = arguments[0], arguments[3]
    return _outputs(x, B, *arguments[-4:])


@_operator_backward.register_fake
def _(*arguments: Any) -> tuple[Tensor, ...]:
    return _gradients(*arguments[3:10])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.tile_height, ctx.tile_width, ctx.chunk, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def _differentiate(ctx: Any, dy: Tensor | None, dfinal: Tensor | None, _: None) -> tuple[Any, ...]:
    saved, x, *tensors = ctx.saved_tensors
    gradients = _operator_backward(
        torch.zeros_like(x) if dy is None else dy,
        dfinal,
        saved,
        x,
        *tensors,
        ctx.tile_height,
        ctx.tile_width,
        ctx.chunk,
    )
    given = (x, *tensors[:6])
    return (
        *(g if t is not None else None for g, t in zip(gradients, given, strict=True)),
        *(None,) * 5,
    )


operator.register_autograd(_differentiate, setup_context=_keep)
