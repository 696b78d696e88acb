"""Local attention as one masked softmax over all tokens, in float64: the truth for the others."""

import torch
from torch import Tensor


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    window_frames: int,
    clips: Tensor | None,
    scale: float,
) -> Tensor:
    """Return y, float64 and shaped like q, from the last frames of `keys` and `values`.

    Both are `[batch, past + frames, tokens, heads, headdim]`. Frame i sees frame j where
    i - window_frames <= j <= i and, where `clips` are given, both belong to one clip.
    """
    _, frames, tokens, *_ = q.shape
    total = keys.shape[1]
    key_frame = torch.arange(total, device=q.device)
    query_frame = key_frame[total - frames :]
    age = query_frame[:, None] - key_frame  # [frames, total]
    seen = ((age >= 0) & (age <= window_frames))[None]
    if clips is not None:
        seen = seen & (clips[:, total - frames :, None] == clips[:, None, :])
    seen = seen.repeat_interleave(tokens, dim=1).repeat_interleave(tokens, dim=2)
    q_, k_, v_ = (tensor.double().flatten(1, 2) for tensor in (q, keys, values))
    scores = scale * torch.einsum("bqhd,bkhd->bhqk", q_, k_)
    weights = scores.masked_fill(~seen[:, None], -torch.inf).softmax(dim=-1)
    y = torch.einsum("bhqk,bkhd->bqhd", weights, v_)
    return y.reshape(q.shape)
