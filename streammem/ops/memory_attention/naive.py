"""Memory attention as one softmax for each frame, in float64: the truth for the other backends."""

import torch
from torch import Tensor


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    valid: Tensor | None,
    bias: Tensor | None,
    scale: float,
) -> Tensor:
    """Return y in float64, shaped like `q [frames, tokens, heads, headdim]`.

    `keys` and `values [frames, views, tokens, heads, headdim]`, `valid [frames, views]`,
    `bias [frames, heads, views]`.
    """
    outputs = []
    for frame, queries in enumerate(q.double()):
        chosen = slice(None) if valid is None else valid[frame]
        keys_, values_ = keys[frame, chosen].double(), values[frame, chosen].double()
        scores = scale * torch.einsum("qhd,vkhd->hqvk", queries, keys_)
        if bias is not None:
            scores = scores + bias[frame].double()[:, chosen][:, None, :, None]
        weights = scores.flatten(2).softmax(dim=-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, values_.flatten(0, 1)))
    return torch.stack(outputs)
