"""Inputs for tests of the block scan, drawn as Mamba-2 draws its own."""

from typing import Any

import torch
from torch import Tensor

from streammem.ops.block_scan import Tiles


def scan_inputs(
    *,
    batch: int = 1,
    frames: int = 2,
    rows: int = 4,
    columns: int = 4,
    heads: int = 2,
    headdim: int = 16,
    groups: int = 1,
    state: int = 16,
    tile: tuple[int, int] = (2, 2),
    decay: float = 1.0,
    dtype: torch.dtype = torch.float32,
    gradients: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Return keyword arguments of `block_scan`, all optional tensors but `reset` given."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    grid = (batch, frames, rows, columns)
    tiles = (rows // tile[0]) * (columns // tile[1])
    tensors = {
        "x": normal(*grid, heads, headdim),
        "dt": torch.nn.functional.softplus(normal(*grid, heads) - 2),
        "A": -decay * torch.exp(torch.rand(heads, generator=generator, dtype=torch.float64)),
        "B": normal(*grid, groups, state) / state**0.5,
        "C": normal(*grid, groups, state),
        "D": normal(heads),
        "initial_state": normal(batch, tiles, heads, state, headdim),
    }
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    kept_wide = ("dt", "A", "D", "initial_state")
    return {
        **{
            name: tensor.to(wide if name in kept_wide else dtype).requires_grad_(gradients)
            for name, tensor in tensors.items()
        },
        "layout": Tiles(*tile),
    }


def relative_error(got: Tensor, truth: Tensor) -> float:
    """Return the largest deviation, as a share of the largest true value."""
    scale = truth.abs().max().clamp_min(1e-30)
    return float(((got.double() - truth.double()).abs().max() / scale).detach())
