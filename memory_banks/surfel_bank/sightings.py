"""Which views saw each surfel: a few of them, spread over the time in which it was seen."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Mask, Rows

Views = NDArray[np.int32]
NONE = -1


def rank_of(number: int) -> int:
    """Return how often two divides the `number` of a view, from 1 on: 0, 1, 0, 2, 0, 1, 0, 3..."""
    return (number & -number).bit_length() - 1


def add_view(views: Views, rows: Rows, view: int, *, ranks: NDArray[np.int32]) -> None:
    """Note in `views [N, V]` that `view`, the newest, saw the surfels of `rows`.

    A full list gives up the view of lowest rank but the newest, the oldest of equals. By the
    `ranks [M]` of all views, as by the marks of a ruler, those that stay are spread over the time
    in which the surfel was seen; and as ranks are the same for all surfels, those that were seen
    together name the same views, so that votes for a view are not scattered over its neighbours.
    """
    held = views[rows]
    room = held.shape[1]
    count = (held != NONE).sum(axis=1)
    open_ = count < room
    views[rows[open_], count[open_]] = view
    full = held[~open_]
    gone = ranks[full].argmin(axis=1)
    kept = np.arange(room) + (np.arange(room) >= gone[:, None])
    every = np.concatenate([full, np.full((len(full), 1), view, dtype=np.int32)], axis=1)
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
