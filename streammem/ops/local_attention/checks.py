"""What `local_attention` accepts."""

import torch
from torch import Tensor

from streammem.ops.local_attention.cache import LocalCache


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window_frames: int,
    cache: LocalCache | None,
    reset: Tensor | None,
) -> None:
    """Raise ValueError, with what is allowed, unless all fit together."""
    if q.ndim != 5 or q.numel() == 0:
        raise ValueError(
            "q must be [batch, frames, tokens, heads, headdim] and hold at least one token, "
            f"got {list(q.shape)}"
        )
    for name, tensor in (("k", k), ("v", v)):
        if tensor.shape != q.shape or tensor.dtype != q.dtype:
            raise ValueError(
                f"{name} must be {list(q.shape)} {q.dtype} like q, "
                f"got {list(tensor.shape)} {tensor.dtype}"
            )
    if window_frames < 0:
        raise ValueError(f"window_frames must be 0 or more, got {window_frames}")
    batch, frames, *rest = q.shape
    if cache is not None:
        ring = (batch, window_frames + 1, *rest)
        if cache.keys.shape != ring or cache.keys.dtype != q.dtype:
            raise ValueError(
                f"the cache must hold {list(ring)} {q.dtype} for this q and a window of "
                f"{window_frames}, got {list(cache.keys.shape)} {cache.keys.dtype}"
            )
    if reset is not None and (reset.shape != (batch, frames) or reset.dtype != torch.bool):
        raise ValueError(
            f"reset must be bool {[batch, frames]} beside this q, "
            f"got {reset.dtype} {list(reset.shape)}"
        )
