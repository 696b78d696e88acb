"""What `block_scan` accepts."""

from torch import Tensor

from streammem.ops.block_scan.inputs import ScanInputs

CHUNKS = (16, 32, 64, 128, 256)


def check(given: ScanInputs, *, chunk: int) -> None:
    """Raise ValueError, with the shape that is allowed, unless all fit together."""
    x, dt, A, B, C, D, layout, initial_state, reset = given
    if x.ndim != 6:
        raise ValueError(
            f"x must be [batch, frames, height, width, heads, headdim], got {list(x.shape)}"
        )
    if B.ndim != 6:
        raise ValueError(
            f"B must be [batch, frames, height, width, groups, state], got {list(B.shape)}"
        )
    batch, frames, rows, columns, heads, headdim = x.shape
    groups, state_size = B.shape[-2:]
    if x.numel() == 0:
        raise ValueError(f"x must hold at least one token, got {list(x.shape)}")
    if groups == 0 or heads % groups:
        raise ValueError(
            f"the groups of B and C must divide the heads of x, got {groups} groups "
            f"for {heads} heads"
        )
    down, across = layout.counts(rows, columns)
    _expect("dt", dt, (batch, frames, rows, columns, heads))
    _expect("A", A, (heads,))
    _expect("B", B, (batch, frames, rows, columns, groups, state_size))
    _expect("C", C, (batch, frames, rows, columns, groups, state_size))
    _expect("D", D, (heads,))
    _expect("initial_state", initial_state, (batch, down * across, heads, state_size, headdim))
    _expect("reset", reset, (batch, frames))
    if chunk not in CHUNKS:
        raise ValueError(f"chunk must be one of {', '.join(map(str, CHUNKS))}, got {chunk}")


def _expect(name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{name} must be {list(shape)} beside this x, got {list(tensor.shape)}")
