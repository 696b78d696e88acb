"""`prototype`: the most used entries stand for the others (XMem, arXiv:2207.07115, section 3.4).

Every entry that comes reads what is held up to its time, as every frame of the paper does: the
softmax over the `TOP_K` nearest keys is the attention they received, and attention over the number
of reads since an entry came is its usage. When room is needed, the oldest entries that are not yet
prototypes are the candidates. The most used of them, earliest of equals, become prototypes: each
keeps its own features, takes the mean of all candidates' tokens weighted by their affinity to it
(potentiation, equation 8), and stands for the times of the candidates nearest to it. Where there
are too few candidates, the least used prototype goes (LFU).

Affinity is -SHARPNESS |k - k'|^2: the paper's similarity with shrinkage and selection 1, for keys
of unit length, which are shorter than those the paper learns. `memory_banks.tokens.memory` has the
similarity whole, for tokens that bring shrinkage and selection.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from memory_banks.consolidation.step import Made, State, Step, Surroundings, let_go
from memory_banks.consolidation.timeline import Timeline
from memory_banks.entries import Row, join

TOP_K = 30
SHARPNESS = 20.0
CANDIDATES = 64
CANDIDATES_PER_PROTOTYPE = 8


class Prototype:
    """Candidates that become prototypes by their usage."""

    def __init__(self, around: Surroundings, state: State) -> None:
        self._around = around
        self._timeline = Timeline()
        self._reads = int(state.get("reads", 0))
        self._candidates: set[int] = set()
        self._prototypes: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._timeline)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._timeline)

    def add(self, row: Row) -> None:
        self._read(row)
        row.since = self._reads
        self._hold(row)

    def restore(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._hold(row)

    def make_room(self) -> bool:
        enough = min(CANDIDATES, max(2, len(self) // 2)) if self._prototypes else 2
        if len(self._candidates) >= enough:
            candidates = self._oldest_candidates()
            if len(candidates) >= enough:
                self._consolidate(candidates)
                return True
        among = self._prototypes or self._timeline.rows
        if not among:
            return False
        least = self._least_used(among.values())
        self.remove(least.entry_id)
        self._around.carry_out(let_go(least))
        return True

    def remove(self, entry_id: int) -> None:
        self._timeline.remove(self._timeline.rows[entry_id])
        self._candidates.discard(entry_id)
        self._prototypes.pop(entry_id, None)

    def used(self, row: Row) -> None:
        row.attention += 1.0

    def state(self) -> State:
        return {"reads": self._reads}

    def _hold(self, row: Row) -> None:
        self._timeline.add(row)
        if row.merged_from:
            self._prototypes[row.entry_id] = row
        else:
            self._candidates.add(row.entry_id)

    def _usage(self, row: Row) -> float:
        return row.attention / max(1, self._reads - row.since)

    def _least_used(self, rows: Collection[Row]) -> Row:
        """Return the row of least usage, the earliest of equals."""
        reads = self._reads
        usage = [row.attention / max(1, reads - row.since) for row in rows]
        least = min(usage)
        equal = (row for row, one in zip(rows, usage, strict=True) if one == least)
        return min(equal, key=lambda row: row.thumbnail_id)

    def _read(self, row: Row) -> None:
        """Let an entry that comes look at those before it, and count what it looks at."""
        self._reads += 1
        key, _ = self._around.index.vectors(row.entry_id)
        found = self._around.index.search(key.astype(np.float32), k=TOP_K + 1, at_s=row.end_s)
        held = self._timeline.rows
        seen = [(held[one], cosine) for one, cosine in found if one in held][:TOP_K]
        if not seen:
            return
        shares = _softmax(2.0 * SHARPNESS * np.array([cosine for _, cosine in seen]))
        for (one, _), share in zip(seen, shares.tolist(), strict=True):
            one.attention += share
            self._around.changed(one)

    def _oldest_candidates(self) -> list[Row]:
        """Return the oldest candidates of the source that has the oldest of all."""
        rows: list[Row] = []
        for entry_id in sorted(self._candidates):
            row = self._timeline.rows[entry_id]
            if not rows or row.source_id == rows[0].source_id:
                rows.append(row)
            if len(rows) == CANDIDATES:
                break
        return rows

    def _consolidate(self, candidates: Sequence[Row]) -> None:
        count = max(1, len(candidates) // CANDIDATES_PER_PROTOTYPE)
        ranked = sorted(candidates, key=lambda row: (-self._usage(row), row.thumbnail_id))
        chosen = sorted(ranked[:count], key=lambda row: row.thumbnail_id)
        keys = self._keys(candidates)  # [C, D]
        similarity = 2.0 * SHARPNESS * (self._keys(chosen) @ keys.T)  # [P, C]
        nearest = similarity.argmax(axis=0)
        nearest[[candidates.index(row) for row in chosen]] = np.arange(count)
        made = [
            self._prototype(
                row,
                [one for one, place in zip(candidates, nearest, strict=True) if place == number],
                tokens_of=candidates,
                affinity=_softmax(similarity[number]).tolist(),
            )
            for number, row in enumerate(chosen)
        ]
        into = [made[place].row.entry_id for place in nearest]
        for row in candidates:
            self.remove(row.entry_id)
        self._around.carry_out(Step(list(zip(candidates, into, strict=True)), made))
        for one in made:
            self._hold(one.row)

    def _prototype(
        self, row: Row, group: Sequence[Row], *, tokens_of: Sequence[Row], affinity: list[float]
    ) -> Made:
        """Return the prototype that `row` becomes, which stands for `group`."""
        joined = join(group, new_id=self._around.new_id())
        joined.thumbnail_id, joined.thumbnail_bytes = row.thumbnail_id, row.thumbnail_bytes
        joined.since = row.since
        key, visual = (
            vector.astype(np.float32) for vector in self._around.index.vectors(row.entry_id)
        )
        return Made(joined, key, visual, self._around.mean_tokens(tokens_of, affinity))

    def _keys(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        vectors = [self._around.index.vectors(row.entry_id)[0] for row in rows]
        return np.stack(vectors).astype(np.float64)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max())
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares
