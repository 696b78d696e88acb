"""Which views saw each surfel: a few of them, spread over the time in which it was seen."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Mask, Rows, Times

Views = NDArray[np.int32]
NONE = -1


def add_view(views: Views, rows: Rows, view: int, *, view_times: Times) -> None:
    """Note in `views [N, V]` that `view`, the newest, saw the surfels of `rows`.

    A full list gives up the view, neither the first nor the new one, whose neighbours in time are
    nearest to each other; the first of equals. `view_times [M]` are the times of all views.
    """
    held = views[rows]
    room = held.shape[1]
    count = (held != NONE).sum(axis=1)
    open_ = count < room
    views[rows[open_], count[open_]] = view
    full = held[~open_]
    every = np.concatenate([full, np.full((len(full), 1), view, dtype=np.int32)], axis=1)
    times = view_times[every]
    gaps = times[:, 2:] - times[:, :-2]
    gone = 1 + gaps.argmin(axis=1)
    kept = np.arange(room) + (np.arange(room) >= gone[:, None])
    views[rows[~open_]] = np.take_along_axis(every, kept, axis=1)


def worth(views: Views, *, count: int) -> NDArray[np.float64]:
    """Return for each of `count` views of how many surfels it is the witness.

    A surfel's witness is shared by all the views that are named for it.
    """
    named = views != NONE
    share = np.repeat(1 / np.maximum(named.sum(axis=1), 1), views.shape[1])
    shares = np.bincount(views[named], share[named.ravel()], minlength=count)
    return shares.astype(np.float64)


def forget_views(views: Views, kept: Mask) -> None:
    """Take the views that are not `kept [M]` out of `views [N, V]`, and number the others anew."""
    numbers = np.where(kept, np.cumsum(kept) - 1, NONE).astype(np.int32)
    known = views != NONE
    views[known] = numbers[views[known]]
    order = np.argsort(views == NONE, axis=1, kind="stable")
    views[:] = np.take_along_axis(views, order, axis=1)
