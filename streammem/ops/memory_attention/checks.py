"""What `memory_attention` accepts."""

import torch
from torch import Tensor

from streammem.ops.memory_attention.views import Memory


def check(q: Tensor, memory: Memory, bias: Tensor | None) -> None:
    """Raise ValueError, with what is allowed, unless all fit together."""
    if q.ndim < 4 or q.numel() == 0:
        raise ValueError(
            "q must be [batch, tokens, heads, headdim] or [batch, frames, tokens, heads, headdim] "
            f"and hold at least one token, got {list(q.shape)}"
        )
    *lead, _, heads, headdim = q.shape
    keys, values = memory.keys, memory.values
    fits = keys.ndim == q.ndim + 1 and [*keys.shape[:-4], *keys.shape[-2:]] == [
        *lead,
        heads,
        headdim,
    ]
    if not fits or keys.dtype != q.dtype:
        shape = ", ".join(map(str, [*lead, "views", "tokens", heads, headdim]))
        raise ValueError(
            f"the memory's keys must be [{shape}] {q.dtype} for this q, "
            f"got {list(keys.shape)} {keys.dtype}"
        )
    if values.shape != keys.shape or values.dtype != keys.dtype:
        raise ValueError(
            f"the memory's values must be {list(keys.shape)} {keys.dtype} like its keys, "
            f"got {list(values.shape)} {values.dtype}"
        )
    slots = [*lead, keys.shape[-4]]
    valid = memory.valid
    if valid is not None and (list(valid.shape) != slots or valid.dtype != torch.bool):
        raise ValueError(f"valid must be bool {slots}, got {valid.dtype} {list(valid.shape)}")
    if bias is not None and list(bias.shape) != [*lead, heads, slots[-1]]:
        raise ValueError(f"bias must be {[*lead, heads, slots[-1]]}, got {list(bias.shape)}")
