"""`continuous`: the past contracts whenever room is needed (infinity-Video, arXiv:2501.19098).

The paper's memory is a signal on [0, 1] over equal bins; the past contracts to [0, tau], what comes
next takes the rest, and where attention is dense, the past contracts less ('sticky'). Here the bins
are whole entries, so that times and ancestry stay exact: n neighbours become ceil(tau n) groups,
and each group one entry. `memory_banks.continuous` has the signal itself, for arrays.

A joint is where two neighbours that may merge meet; the end of a source counts as one more. Of n of
them ceil(tau n) stay, but at least one goes. Each has a share in what stays, in proportion to the
attention on both sides but at most 1, and stays if with it the sum of the shares so far reaches the
next whole number. Where nothing was read, all shares are equal, groups are as even as can be, and
the first joint of all goes: what is old gathers in the first entry as it does in the first bin.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from memory_banks.consolidation.step import State, Step, Surroundings, let_go
from memory_banks.consolidation.timeline import Timeline
from memory_banks.entries import Row

TAU = 0.75
LEAST_ATTENTION = 0.1
"""What an entry has left of attention when it is taken for none."""

ROUNDING = 1e-9
"""By how much a sum of shares may miss the whole number that it is."""


class Continuous:
    """Contraction of every source to `tau`; `sticky` spares what recalls returned.

    An entry counts 1 + its attention. Attention is halved at each contraction: the paper takes
    that of the last chunk alone, but its memory is read at every chunk.
    """

    def __init__(
        self, around: Surroundings, state: State, *, tau: float = TAU, sticky: bool = True
    ) -> None:
        self._around = around
        self._tau = tau
        self._sticky = sticky
        self._timeline = Timeline()

    def __len__(self) -> int:
        return len(self._timeline)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._timeline)

    def add(self, row: Row) -> None:
        self._timeline.add(row)

    def restore(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._timeline.add(row)

    def make_room(self) -> bool:
        sources = sorted(self._timeline.sources(), key=lambda rows: rows[0].thumbnail_id)
        groups = [group for rows in sources for group in self._groups(rows) if len(group) > 1]
        if groups:
            self._contract(groups)
            return True
        oldest = self._timeline.oldest()
        if oldest is None:
            return False
        self._timeline.remove(oldest)
        self._around.carry_out(let_go(oldest))
        return True

    def remove(self, entry_id: int) -> None:
        self._timeline.remove(self._timeline.rows[entry_id])

    def used(self, row: Row) -> None:
        row.attention += 1.0

    def state(self) -> State:
        return {}

    def _groups(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Yield the entries of a source in the groups that become one entry each."""
        joints = [i for i in range(1, len(rows)) if self._around.may_merge(rows[i - 1], rows[i])]
        closed: set[int] = set()
        if joints:
            weights = np.array([1.0 + row.attention if self._sticky else 1.0 for row in rows])
            left, right = [*(i - 1 for i in joints), -1], [*joints, -1]
            stay = min(math.ceil(self._tau * len(left) - ROUNDING), len(joints))
            shares = spread(weights[left] + weights[right], total=stay)
            reached = np.diff(np.floor(np.cumsum(shares) + ROUNDING), prepend=0.0)
            closed = {joints[place] for place in np.flatnonzero(reached[:-1] == 0)}
        for start, end in pairwise([*(i for i in range(len(rows)) if i not in closed), len(rows)]):
            yield rows[start:end]

    def _contract(self, groups: Sequence[Sequence[Row]]) -> None:
        """Put one entry in the place of each group, in one step."""
        for row in self:
            if row.attention > 0.0:
                row.attention = row.attention / 2 if row.attention > LEAST_ATTENTION else 0.0
                self._around.changed(row)
        made = [self._around.mean_of(group) for group in groups]
        gone = []
        for group, one in zip(groups, made, strict=True):
            self._timeline.replace(group, one.row)
            gone += [(row, one.row.entry_id) for row in group]
        self._around.carry_out(Step(gone, made))


def spread(weights: NDArray[np.float64], *, total: int) -> NDArray[np.float64]:
    """Return shares `[m]` of at most 1 that add up to `total`, in proportion to `weights` below 1.

    `weights` are above 0 and `total` is less than m.
    """
    full = np.zeros(len(weights), dtype=np.bool_)
    while True:
        scale = (total - full.sum()) / weights[~full].sum()
        shares = np.where(full, 1.0, scale * weights)
        if (shares <= 1.0).all():
            return shares
        full |= shares >= 1.0
