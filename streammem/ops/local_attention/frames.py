"""Local attention as one product a frame: no score is masked away and no key is copied."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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

    Frames of unlike `clips [batch, past + frames]` do not see one another.
    """
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (q, keys, values)):
        y: Tensor = _FrameByFrame.apply(q, keys, values, window_frames, clips, scale)
        return y
    y = torch.empty_like(q)
    for frame in range(q.shape[1]):
        window = _window(frame, q, keys, window_frames)
        y[:, frame] = attend_frame(
            q[:, frame], keys[:, window], values[:, window], _seen(clips, window), scale
        )
    return y


def attend_frame(
    q: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None, scale: float
) -> Tensor:
    """Attend from `q [batch, tokens, heads, headdim]` to `keys [batch, frames, tokens, ...]`.

    `seen [batch, frames]` says which frames may be seen; None: all.
    """
    tokens = q.shape[1]
    mask = None
    if seen is not None:
        mask = seen.repeat_interleave(tokens, dim=1)[:, None, None, :]
    y = attention(
        q.transpose(1, 2),
        keys.flatten(1, 2).transpose(1, 2),
        values.flatten(1, 2).transpose(1, 2),
        mask=mask,
        scale=scale,
    )
    return y.transpose(1, 2)


class _FrameByFrame(torch.autograd.Function):
    """The loop with gradients: each frame keeps a graph of its own.

    Autograd through slices would add a gradient of the whole sequence for each frame; here each
    frame's gradient is added to the rows of its window alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        keys: Tensor,
        values: Tensor,
        window_frames: int,
        clips: Tensor | None,
        scale: float,
    ) -> Tensor:
        y = torch.empty_like(q)
        ctx.keys_shape = keys.shape
        ctx.windows = [_window(frame, q, keys, window_frames) for frame in range(q.shape[1])]
        ctx.graphs = []
        for frame, window in enumerate(ctx.windows):
            with torch.enable_grad():
                leaf_q, leaf_keys, leaf_values = (
                    tensor.detach().requires_grad_()
                    for tensor in (q[:, frame], keys[:, window], values[:, window])
                )
                y_frame = attend_frame(leaf_q, leaf_keys, leaf_values, _seen(clips, window), scale)
            y[:, frame] = y_frame.detach()
            ctx.graphs.append((y_frame, (leaf_q, leaf_keys, leaf_values)))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_y,) = grads
        grad_q = torch.empty_like(grad_y)
        grad_keys, grad_values = grad_y.new_zeros(ctx.keys_shape), grad_y.new_zeros(ctx.keys_shape)
        for frame, (window, (y, leaves)) in enumerate(zip(ctx.windows, ctx.graphs, strict=True)):
            dq, dk, dv = torch.autograd.grad(y, leaves, grad_y[:, frame], retain_graph=True)
            grad_q[:, frame] = dq
            grad_keys[:, window] += dk
            grad_values[:, window] += dv
        return grad_q, grad_keys, grad_values, None, None, None


def _window(frame: int, q: Tensor, keys: Tensor, window_frames: int) -> slice:
    """Return which frames of `keys` a frame of q sees; its own is the last of them."""
    last = keys.shape[1] - q.shape[1] + frame
    return slice(max(0, last - window_frames), last + 1)


def _seen(clips: Tensor | None, window: slice) -> Tensor | None:
    if clips is None:
        return None
    inside = clips[:, window]
    return inside == inside[:, -1:]
