"""The last frames of a stream, in a ring of constant size."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LocalCache:
    """Keys and values of a stream's last `window_frames` frames, and room for the frame in work.

    `keys` and `values [batch, window_frames + 1, tokens, heads, headdim]`: frame n of the stream
    lies in slot `n % slots`. The slot that comes next is where a frame is laid beside the window
    while it is attended to; only `append` makes it part of the stream, so a frame may be evaluated
    any number of times before it is final. `frames []` int64 counts what was appended, and
    `clip_start [batch]` int64 is the number of the first frame of each element's present clip.

    Without gradients the ring is written in place: of all caches that came from one ring, use the
    newest, and `clone` it to try two futures. With gradients each append makes a ring of its own.
    """

    keys: Tensor
    values: Tensor
    frames: Tensor
    clip_start: Tensor

    @classmethod
    def empty(cls, keys: Tensor, window_frames: int) -> Self:
        """Return a cache that has seen nothing, for `keys [batch, frames, tokens, heads, headdim]`.

        It has their device and dtype.
        """
        batch, _, *rest = keys.shape
        shape = (batch, window_frames + 1, *rest)
        return cls(
            keys.new_zeros(shape),
            keys.new_zeros(shape),
            keys.new_zeros((), dtype=torch.int64),
            keys.new_zeros(batch, dtype=torch.int64),
        )

    @property
    def window_frames(self) -> int:
        """How many earlier frames a frame can see."""
        return self.keys.shape[1] - 1

    def clone(self) -> Self:
        """Return a cache with a ring of its own."""
        return replace(self, keys=self.keys.clone(), values=self.values.clone())

    def append(self, keys: Tensor, values: Tensor, *, reset: Tensor | None = None) -> Self:
        """Return the cache after `keys` and `values [batch, frames, tokens, heads, headdim]`.

        `reset [batch, frames]` bool marks frames before which another clip begins.
        """
        added, slots = keys.shape[1], self.keys.shape[1]
        kept = min(added, slots)
        numbers = self.frames + torch.arange(added - kept, added, device=keys.device)
        ring, ring_values = self.keys, self.values
        recorded = any(tensor.requires_grad for tensor in (keys, values, ring, ring_values))
        if torch.is_grad_enabled() and recorded:
            ring, ring_values = ring.clone(), ring_values.clone()
        return replace(
            self,
            keys=ring.index_copy_(1, numbers % slots, keys[:, added - kept :]),
            values=ring_values.index_copy_(1, numbers % slots, values[:, added - kept :]),
            frames=self.frames + added,
            clip_start=self._clip_start_after(reset),
        )

    def beside(
        self, keys: Tensor, values: Tensor, reset: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the window together with one frame that is not appended, without a copy.

        Keys and values are the ring itself, in no order of time; they hold until the next call.
        `seen [batch, window_frames + 1]` bool says which slots that frame sees.
        """
        slots = self.keys.shape[1]
        slot = (self.frames % slots)[None]
        age = (self.frames - torch.arange(slots, device=keys.device)) % slots
        seen = self.frames - age >= self._clip_start_after(reset)[:, None]
        return (
            self.keys.index_copy_(1, slot, keys),
            self.values.index_copy_(1, slot, values),
            seen,
        )

    def before(
        self, keys: Tensor, values: Tensor, reset: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the window, oldest frame first, followed by the frames of `keys` and `values`.

        Both are copies `[batch, window_frames + frames, ...]`, and so is `clips`, which numbers the
        clip each frame belongs to; frames of unlike clips do not see one another.
        """
        window = torch.arange(-self.window_frames, 0, device=keys.device) + self.frames
        slots = window % self.keys.shape[1]
        old = torch.where(window >= self.clip_start[:, None], 0, -1)
        clips = torch.cat([old, clips_of(reset, like=keys)], dim=1)
        return (
            torch.cat([self.keys.index_select(1, slots), keys], dim=1),
            torch.cat([self.values.index_select(1, slots), values], dim=1),
            clips,
        )

    def _clip_start_after(self, reset: Tensor | None) -> Tensor:
        if reset is None:
            return self.clip_start
        places = torch.arange(1, reset.shape[1] + 1, device=reset.device)
        last = torch.where(reset, places, 0).amax(dim=1)  # [batch], 0 where no mark is
        return torch.where(last > 0, self.frames + last - 1, self.clip_start)


def clips_of(reset: Tensor | None, *, like: Tensor) -> Tensor:
    """Return the clip `[batch, frames]` int64 of each frame of `like`, counted from 0."""
    if reset is None:
        return like.new_zeros(like.shape[:2], dtype=torch.int64)
    return reset.to(torch.int64).cumsum(dim=1)
