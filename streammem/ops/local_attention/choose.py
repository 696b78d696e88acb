"""`local_attention`: checks the input and hands it to the backend that is fastest for it."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from streammem.errors import one_of
from streammem.ops.local_attention import frames, naive, windows
from streammem.ops.local_attention.cache import LocalCache, clips_of
from streammem.ops.local_attention.checks import check

BACKENDS = ("auto", "frames", "windows", "naive")
_ATTEND = {"frames": frames.attend, "windows": windows.attend, "naive": naive.attend}


@dataclass(frozen=True, slots=True)
class Backend:
    """A chosen backend and the reason for the choice."""

    name: Literal["frames", "windows", "naive"]
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def local_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window_frames: int,
    cache: LocalCache | None = None,
    append: bool = True,
    reset: Tensor | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> tuple[Tensor, LocalCache]:
    """Attend from each frame to itself and the `window_frames` before it; return `(y, cache)`.

    `q`, `k`, `v` and `y [batch, frames, tokens, heads, headdim]`; within what a frame sees, every
    token sees every other. `scale` is headdim ** -0.5 where None. Positions are the caller's: turn
    q and k by `AxialRotary` first, and keys in the cache never need turning again.

    Streaming is the same function: a call with the last call's `cache` continues it, however the
    frames are split. With `append=False` the frames see the cache but leave it as it was: that is
    how a diffusion model evaluates frames that are not final yet. `reset [batch, frames]` bool
    marks frames before which another clip begins, of which nothing earlier is seen.

    Sliding-window attention over frames, as in arXiv 2505.20171, section 4.
    Raises ValueError where shapes do not fit, UsageError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise one_of("local attention backend", backend, BACKENDS)
    check(q, k, v, window_frames=window_frames, cache=cache, reset=reset)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    name = choose(q, k, v).name if backend == "auto" else backend
    clips: Tensor | None
    if cache is None:
        keys, values = k, v
        clips = None if reset is None else clips_of(reset, like=k)
        y = _ATTEND[name](q, keys, values, window_frames=window_frames, clips=clips, scale=scale)
        cache = LocalCache.empty(k, window_frames)
    elif name != "naive" and q.shape[1] == 1 and not _needs_grad(q, k, v, cache.keys):
        keys, values, seen = cache.beside(k, v, reset)
        y = frames.attend_frame(q[:, 0], keys, values, seen, scale)[:, None]
    else:
        keys, values, clips = cache.before(k, v, reset)
        y = _ATTEND[name](q, keys, values, window_frames=window_frames, clips=clips, scale=scale)
    return y.to(q.dtype), cache.append(k, v, reset=reset) if append else cache


def choose(q: Tensor, k: Tensor, v: Tensor) -> Backend:
    """Return the backend that `auto` takes for these tensors."""
    if q.device.type != "cpu":
        return Backend("windows", f"{q.device.type}: all frames in one launch")
    if torch.compiler.is_compiling() and _needs_grad(q, k, v):
        return Backend("windows", "compiled with gradients")
    return Backend("frames", "cpu: no product is masked, no key is copied")


def _needs_grad(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
