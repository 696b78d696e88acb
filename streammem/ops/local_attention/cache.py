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
    any number of times before it is final. `frames` counts what was appended. `clip_start [batch]`
    is the number of the first frame of each element's present clip, None while no clip was marked.

    Without gradients the ring is written in place: of all caches that came from one ring, use the
    newest, and `clone` it to try two futures. With gradients each append makes a ring of its own.
    """

    keys: Tensor
    values: Tensor
    frames: int = 0
    clip_start: Tensor | None = None

    @classmethod
    def empty(cls, keys: Tensor, window_frames: int) -> Self:
        """Return a cache that has seen nothing, for `keys [batch, frames, tokens, heads, headdim]`.

        It has their device and dtype.
        """
        batch, _, *rest = keys.shape
        shape = (batch, window_frames + 1, *rest)
        return cls(keys.new_zeros(shape), keys.new_zeros(shape))

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
        frames = keys.shape[1]
        slots = self.keys.shape[1]
        kept = min(frames, slots)
        grown = self.frames + frames
        places = torch.arange(grown - kept, grown, device=keys.device) % slots
        ring, ring_values = self.keys, self.values
        recorded = any(tensor.requires_grad for tensor in (keys, values, ring, ring_values))
        if torch.is_grad_enabled() and recorded:
            ring, ring_values = ring.clone(), ring_values.clone()
        return replace(
            self,
            keys=ring.index_copy_(1, places, keys[:, frames - kept :]),
            values=ring_values.index_copy_(1, places, values[:, frames - kept :]),
            frames=grown,
            clip_start=self._clip_start_after(reset),
        )

    def past(self) -> tuple[Tensor, Tensor]:
        """Return keys and values of the frames in the window, oldest first."""
        slots = self.keys.shape[1]
        seen = min(self.frames, self.window_frames)
        places = torch.arange(self.frames - seen, self.frames, device=self.keys.device) % slots
        return self.keys.index_select(1, places), self.values.index_select(1, places)

    def beside(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the window together with one frame that is not appended, without a copy.

        The result `[batch, frames in the window + 1, tokens, heads, headdim]` is a view of the
        ring, in no order of time; it holds until the next call.
        """
        slot = self.frames % self.keys.shape[1]
        self.keys[:, slot] = keys[:, 0]
        self.values[:, slot] = values[:, 0]
        filled = min(self.frames, self.window_frames) + 1
        return self.keys[:, :filled], self.values[:, :filled]

    def beside_seen(self, reset: Tensor | None) -> Tensor | None:
        """Return which frames of `beside` the frame in work may see `[batch, frames]`; None: all.

        `reset [batch, 1]` marks where that frame begins another clip.
        """
        start = self._clip_start_after(reset)
        if start is None:
            return None
        slots = self.keys.shape[1]
        filled = min(self.frames, self.window_frames) + 1
        age = (self.frames - torch.arange(filled, device=start.device)) % slots
        return self.frames - age >= start[:, None]

    def clips(self, frames: int, reset: Tensor | None) -> Tensor | None:
        """Return the clip of each frame of the window and of `frames` new ones; None: all the same.

        `[batch, frames in the window + frames]`; frames see one another only within a clip.
        """
        if self.clip_start is None and reset is None:
            return None
        batch, device = self.keys.shape[0], self.keys.device
        seen = min(self.frames, self.window_frames)
        new = torch.zeros(batch, frames, dtype=torch.int64, device=device)
        if reset is not None:
            new = reset.to(torch.int64).cumsum(dim=1)
        old = torch.zeros(batch, seen, dtype=torch.int64, device=device)
        if self.clip_start is not None:
            numbers = torch.arange(self.frames - seen, self.frames, device=device)
            old = torch.where(numbers >= self.clip_start[:, None], 0, -1)
        return torch.cat([old, new], dim=1)

    def _clip_start_after(self, reset: Tensor | None) -> Tensor | None:
        if reset is None:
            return self.clip_start
        numbers = torch.arange(1, reset.shape[1] + 1, device=reset.device)
        last = torch.where(reset, numbers, 0).amax(dim=1)  # [batch], 0 where no mark is
        before = torch.zeros_like(last) if self.clip_start is None else self.clip_start
        return torch.where(last > 0, self.frames + last - 1, before)
