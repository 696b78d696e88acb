"""The scan as its recurrence, one token at a time, in float64: the truth for every backend."""

import torch
from torch import Tensor

from streammem.ops.block_scan.inputs import ScanInputs


def scan(given: ScanInputs, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Return `(y, final_state)` of `block_scan`, both in float64; `chunk` changes nothing."""
    x, dt, A, B, C, D, layout, initial_state, reset = given
    batch, frames, rows, columns, heads, headdim = x.shape
    groups, state_size = B.shape[-2:]
    down, across = layout.counts(rows, columns)
    area = layout.height * layout.width
    # [batch, tiles, length, ...]
    x_, dt_, B_, C_ = (
        layout.sequences(tokens.double()).unflatten(0, (batch, down * across))
        for tokens in (x, dt, B, C)
    )
    B_, C_ = (tokens.repeat_interleave(heads // groups, dim=3) for tokens in (B_, C_))
    A = A.double()
    if initial_state is None:
        state = x_.new_zeros(batch, down * across, heads, state_size, headdim)
    else:
        state = initial_state.double()
    outputs = []
    for token in range(frames * area):
        if reset is not None and token % area == 0:
            kept = ~reset[:, token // area]
            state = torch.where(kept[:, None, None, None, None], state, 0.0)
        step = dt_[:, :, token, :, None, None]
        written = B_[:, :, token, :, :, None] * x_[:, :, token, :, None, :]
        state = torch.exp(step * A[:, None, None]) * state + step * written
        outputs.append((C_[:, :, token, :, :, None] * state).sum(dim=-2))
    y = torch.stack(outputs, dim=2).flatten(0, 1)
    if D is not None:
        y = y + D.double()[:, None] * x_.flatten(0, 1)
    return layout.grid(y, x.shape), state
