"""Local attention as one product over windows that are laid out frame by frame.

Each frame becomes a batch element with a window of keys of its own, so that one launch does all of
them. Keys and values are copied `window_frames + 1` times.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from streammem.ops.attention import attention


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    window_frames: int,
    clips: Tensor | None,
    scale: float,
) -> Tensor:
    """Return y like q from the last frames of `keys` and `values [batch, past + frames, ...]`.

    `past` is at most `window_frames`; frames of unlike `clips [batch, past + frames]` do not see
    one another.
    """
    batch, frames, tokens, heads, headdim = q.shape
    span = window_frames + 1
    missing = span - 1 + frames - keys.shape[1]
    if clips is None:
        clips = torch.zeros(batch, keys.shape[1], dtype=torch.int64, device=q.device)
    clips = F.pad(clips, (missing, 0), value=-2).unfold(1, span, 1)  # [batch, frames, span]
    seen = (clips == clips[..., -1:]).flatten(0, 1)
    mask = seen.repeat_interleave(tokens, dim=1)[:, None, None, :]

    def laid_out(tensor: Tensor) -> Tensor:
        padded = F.pad(tensor, (0, 0, 0, 0, 0, 0, missing, 0))
        rows = padded.unfold(1, span, 1)  # [batch, frames, tokens, heads, headdim, span]
        rows = rows.permute(0, 1, 3, 5, 2, 4)
        return rows.reshape(batch * frames, heads, span * tokens, headdim)

    y: Tensor = attention(
        q.flatten(0, 1).transpose(1, 2),
        laid_out(keys),
        laid_out(values),
        mask=mask,
        scale=scale,
    )
    return y.transpose(1, 2).reshape(q.shape)
