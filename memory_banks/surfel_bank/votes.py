"""How pixels vote for the views that saw what they show, and which views are chosen by that."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Times
from memory_banks.surfel_bank.drawing import Drawing
from memory_banks.surfel_bank.sightings import NONE, Views
from streammem.camera import distance

RADIANS_PER_M = 0.1
"""What a metre counts in the distance of poses, as in VMem (arXiv 2506.18903)."""

RESERVE = 10
"""Candidates of `suppression` beyond the views that are asked for, as in VMem."""

RELAX = 1.2
MOST_RELAXED = 1e-3


class Ballot:
    """The votes of all known pixels of some drawings for views.

    A pixel counts cos / (1 + depth), as in VMem (arXiv 2506.18903), once for each view that its
    surfel names. `share [M]` is the part of all that counts which each of `count` views saw.
    """

    def __init__(self, drawings: list[Drawing], views: Views, *, count: int) -> None:
        parts = [_pixels(drawing, views) for drawing in drawings]
        self._named = np.concatenate([named for named, _ in parts])  # [P, V]
        self._weight = np.concatenate([weight for _, weight in parts])  # [P]
        self._total = float(self._weight.sum())
        self._count = count
        self.share = self._shares(self._weight)

    def _shares(self, weight: Times) -> Times:
        named = self._named != NONE
        each = np.repeat(weight, self._named.shape[1])[named.ravel()]
        votes = np.bincount(self._named[named], each, minlength=self._count)
        return np.asarray(votes / self._total if self._total > 0 else votes, dtype=np.float64)

    def coverage(self, k: int) -> Iterator[tuple[int, float]]:
        """Yield up to `k` views, each the one that adds most, with the share that it adds.

        Greedy choice covers at least 1 - 1/e of what any k views could. Where nothing is left to
        be added, everything is looked for anew. Of equals the newest is chosen; a view that no
        pixel votes for never is.
        """
        able = self.share > 0
        left = self._weight.copy()
        for _ in range(min(k, int(able.sum()))):
            gain = np.where(able, self._shares(left), -1.0)
            if gain.max() <= 0:
                left = self._weight.copy()
                gain = np.where(able, self.share, -1.0)
            best = self._count - 1 - int(gain[::-1].argmax())
            yield best, float(gain[best])
            able[best] = False
            left[(self._named == best).any(axis=1)] = 0.0

    def suppression(
        self, k: int, *, poses: NDArray[np.float64], target: NDArray[np.float64]
    ) -> Iterator[tuple[int, float]]:
        """Yield up to `k` views by non-maximum suppression over poses, each with its share.

        VMem (arXiv 2506.18903): of the k + 10 views with most votes, the one whose pose is nearest
        to the target is kept, and then each, in order of that distance, that is as far from all
        kept ones as the median distance between candidates. That bound is divided by 1.2 until
        k are kept. `poses [M, 4, 4]` and `target [4, 4]` are camera-to-world.
        """
        voted = np.flatnonzero(self.share > 0)
        most = voted[np.lexsort((-voted, -self.share[voted]))][: k + RESERVE]
        order = most[np.lexsort((-most, apart(poses[most], target)))]
        if len(order):
            for one in suppressed(apart(poses[order][:, None], poses[order]), k):
                yield int(order[one]), float(self.share[order[one]])


def apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far poses `[..., 4, 4]` are apart, in radians and tenths of a metre."""
    return np.asarray(distance(first, second, radians_per_m=RADIANS_PER_M))


def suppressed(away: NDArray[np.float64], k: int) -> list[int]:
    """Return up to `k` of N candidates in order of rank, kept apart from each other.

    `away [N, N]` are distances. The first is kept; the bound starts at their median.
    """
    count = len(away)
    kept = [0]
    pairs = away[np.triu_indices(count, 1)]
    bound = float(np.median(pairs)) if len(pairs) else 0.0
    while len(kept) < min(k, count):
        for one in range(count):
            if one not in kept and len(kept) < k and (away[one, kept] >= bound).all():
                kept.append(one)
        bound = bound / RELAX if bound > MOST_RELAXED else 0.0
    return kept


def _pixels(drawing: Drawing, views: Views) -> tuple[Views, Times]:
    """Return what each known pixel names `[P, V]`, and how much it counts `[P]`."""
    rows = drawing.surfel[drawing.known]
    depth_m, cosine = drawing.depth_m[drawing.known], drawing.cosine[drawing.known]
    return views[rows], (cosine / (1.0 + depth_m)).astype(np.float64)
