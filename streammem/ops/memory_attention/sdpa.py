"""Memory attention on any device, by one product over all views of a frame."""

import torch
from torch import Tensor

from streammem.ops.attention import attention


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    valid: Tensor | None,
    bias: Tensor | None,
    scale: float,
) -> Tensor:
    """Return y like `q [frames, tokens, heads, headdim]`.

    `keys` and `values [frames, views, tokens, heads, headdim]`, `valid [frames, views]`,
    `bias [frames, heads, views]`. Invalid slots are emptied and not only masked, since a masked
    NaN is NaN still; a frame without a view attends to the empty ones and is then set to zero.
    """
    view_tokens = keys.shape[2]
    mask = None if bias is None else bias[:, :, None, :].to(q.dtype)  # [frames, heads, 1, views]
    some = None
    if valid is not None:
        keys, values = (
            tokens.masked_fill(~valid[:, :, None, None, None], 0.0) for tokens in (keys, values)
        )
        some = valid.any(dim=1, keepdim=True)
        seen = (valid | ~some)[:, None, None, :]
        mask = seen if mask is None else mask.masked_fill(~seen, -torch.inf)
    if mask is not None:
        mask = mask.repeat_interleave(view_tokens, dim=-1)
    y: Tensor = attention(
        q.transpose(1, 2),
        keys.flatten(1, 2).transpose(1, 2),
        values.flatten(1, 2).transpose(1, 2),
        mask=mask,
        scale=scale,
    ).transpose(1, 2)
    return y if some is None else y.masked_fill(~some[:, :, None, None], 0.0)
