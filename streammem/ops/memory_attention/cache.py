"""Projected views, kept by id in a store of constant size."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from streammem.ops.memory_attention.views import Views


class ViewCache:
    """Keys and values of up to `capacity` views, each projected once.

    What is kept of a view is in the frame of its own camera, so it serves every later query. The
    caller's `view_id` is any integer that names one picture for good, such as the id of its entry
    in a memory bank. A full cache lets go of the view that was gathered longest ago.
    """

    def __init__(
        self,
        capacity: int,
        *,
        tokens: int,
        heads: int,
        headdim: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be 1 view or more, got {capacity}")
        shape = (capacity, tokens, heads, headdim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.camera_to_world = torch.eye(4, dtype=torch.float64).repeat(capacity, 1, 1)
        self._slots: dict[int, int] = {}
        self._free = list(range(capacity - 1, -1, -1))

    def __contains__(self, view_id: int) -> bool:
        return view_id in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    def missing(self, view_ids: Iterable[int]) -> list[int]:
        """Return those of `view_ids` that are still to be projected, each once, in order."""
        return [view_id for view_id in dict.fromkeys(view_ids) if view_id not in self._slots]

    @torch.no_grad()
    def put(
        self, view_id: int, keys: Tensor, values: Tensor, camera_to_world: Tensor
    ) -> int | None:
        """Keep a view, in the place of what had its id; return the id that was let go, or None.

        `keys` and `values [tokens, heads, headdim]`, `camera_to_world [4, 4]` float64, metres.
        Raises ValueError where these do not fit.
        """
        expected = list(self.keys.shape[1:])
        for name, tokens in (("keys", keys), ("values", values)):
            if list(tokens.shape) != expected:
                raise ValueError(f"{name} of a view must be {expected}, got {list(tokens.shape)}")
        if camera_to_world.shape != (4, 4) or camera_to_world.dtype != torch.float64:
            raise ValueError(
                "the pose of a view must be float64 [4, 4], "
                f"got {camera_to_world.dtype} {list(camera_to_world.shape)}"
            )
        gone = None
        if view_id not in self._slots and not self._free:
            gone = next(iter(self._slots))
            self.discard([gone])
        slot = self._slots.pop(view_id) if view_id in self._slots else self._free.pop()
        self._slots[view_id] = slot
        self.keys[slot], self.values[slot] = keys, values
        self.camera_to_world[slot] = camera_to_world
        return gone

    def discard(self, view_ids: Iterable[int]) -> None:
        """Let go of `view_ids` where they are kept, as when a memory forgets them."""
        for view_id in view_ids:
            if view_id in self._slots:
                slot = self._slots.pop(view_id)
                self.keys[slot], self.values[slot] = 0.0, 0.0
                self._free.append(slot)

    def gather(self, view_ids: Sequence[Sequence[int]]) -> Views:
        """Return the views named for each batch element, as `[batch, views, ...]`.

        There are as many slots as the longest list; shorter ones are filled up with invalid slots.
        Raises ValueError for a view that is not kept.
        """
        absent = self.missing(view_id for ids in view_ids for view_id in ids)
        if absent:
            raise ValueError(
                f"views {absent} are not kept; put them first, and at most "
                f"{self.keys.shape[0]} of them for one gather"
            )
        for ids in view_ids:
            for view_id in ids:
                self._slots[view_id] = self._slots.pop(view_id)
        views = max((len(ids) for ids in view_ids), default=0)
        places = torch.zeros(len(view_ids), views, dtype=torch.int64)
        valid = torch.zeros(len(view_ids), views, dtype=torch.bool)
        for row, ids in enumerate(view_ids):
            places[row, : len(ids)] = torch.tensor([self._slots[view_id] for view_id in ids])
            valid[row, : len(ids)] = True
        on_device = places.to(self.keys.device)
        return Views(
            self.keys[on_device],
            self.values[on_device],
            self.camera_to_world[places],
            None if valid.all() else valid.to(self.keys.device),
        )
