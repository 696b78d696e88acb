"""The continuous long-term memory of infinity-Video (arXiv:2501.19098), read exactly.

The past is a signal x(t) = B^T psi(t) on [0, 1], with psi the indicators of N equal bins, so that
row j of B, slot j, is what the memory holds of [j/N, (j+1)/N]. A chunk of L vectors takes
[tau, 1], what was held contracts to [0, tau], and B is fitted to both together. A query reads the
mean of x under the Gibbs density p(t) = exp(q . x(t) / sqrt(D)) / Z; as x is constant within each
of the disjoint, equal bins, that integral *is* a softmax over the N slots.

Before the fit the line consists of cells, each constant: N of the past, L of the chunk. 'Sticky'
contraction is t -> tau F(t), with F the distribution function of the attention that reads left
behind, so that what was read more gets wider cells; in uniform contraction F(t) = t. Either way
cells stay in the order of time. What is older than about ln N / ln(1 / tau) chunks has shrunk to
the first slot, unless it is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from streammem.errors import UsageError, one_of
from streammem.records import Vector

Fit = Literal["mean", "ridge"]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
LEAST_LENGTH = 1e-12
"""Pieces of the unit interval shorter than this are rounding."""


@dataclass(frozen=True, slots=True)
class ContinuousConfig:
    """Settings of a continuous memory: N `slots`, and how they are fitted.

    A full chunk of `chunk` vectors contracts the past to `tau`. One of L vectors contracts it to
    tau^(L / chunk): the parts of a chunk, brought one after another, take as much as the whole.

    `fit` 'mean', the default, gives a slot the mean of the signal over its bin: the least-squares
    fit to the signal itself. 'ridge' is the paper's regression on `samples` points of the past and
    one point a new vector, (Psi^T Psi + ridge I)^-1 Psi^T X, which for disjoint bins is the sum of
    the n points in a bin over n + ridge. It is not the default as it shrinks the past by
    n / (n + ridge) at each update, and leaves zero slots wherever a bin gets no point. Points lie
    in the middle of their intervals, none at t = 1, which is in no bin. In sticky contraction
    they are systematic draws of the attention density (one offset, made of `seed` and the number
    of updates, for all `samples` strata), each within the bin that was drawn.
    """

    slots: int = 1024
    chunk: int = 256
    tau: float = 0.75
    fit: Fit = "mean"
    ridge: float = 0.5
    samples: int = 512
    sticky: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("slots", "chunk", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if not 0 < self.tau < 1:
            raise UsageError(f"tau must lie between 0 and 1, got {self.tau!r}")
        if not 0 <= self.ridge < float("inf"):
            raise UsageError(f"ridge must be a number of at least 0, got {self.ridge!r}")
        if self.fit not in get_args(Fit):
            raise one_of("fit", self.fit, get_args(Fit))


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Neighbours on the line: `vectors [N, D]`, and of the frames they stand for `[N]` each:

    how many (`weight`, in fractions, as slots share frames), and their first, mean and last time.
    `first_s` and `last_s` bound every frame with a share in the slot, however small.
    """

    vectors: Vector
    weight: Floats
    first_s: Floats
    mean_s: Floats
    last_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What the bins are made of, in the order of bins: part p is of cell `cell[p]`, for `bin[p]`.

    `factor [P]` is what the vector of the cell counts in that of the bin.
    """

    cell: Numbers
    bin: Numbers
    factor: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """From cells to slots: `vectors` for what they hold, and where their frames go.

    `frames.factor` is the share of a cell's frames that a bin takes; those of a cell add up to 1.
    """

    vectors: Parts
    frames: Parts


class ContinuousMemory:
    """N slots for a stream of any length; `slots` is None before the first update."""

    def __init__(self, config: ContinuousConfig | None = None) -> None:
        self.config = config or ContinuousConfig()
        self.slots: Slots | None = None
        self.updates = 0
        self.frames = 0
        self._attention = np.zeros(self.config.slots)  # [N]
        self._uniform: tuple[int, Refit] | None = None

    @classmethod
    def restore(
        cls, config: ContinuousConfig, state: Mapping[str, NDArray[np.generic]]
    ) -> "ContinuousMemory":
        """Return the memory whose `state` this is; it goes on exactly as that one would have."""
        memory = cls(config)
        names = [*(field.name for field in fields(Slots)), "attention", "counters"]
        if missing := sorted(set(names) - set(state)):
            raise UsageError(f"the state of a memory lacks {', '.join(missing)}")
        held = len(state["vectors"])
        if held not in (0, config.slots):
            raise UsageError(f"a memory of {held} slots cannot go on with slots={config.slots}")
        memory.updates, memory.frames = (int(one) for one in state["counters"])
        memory._attention = state["attention"].astype(np.float64)
        if held:
            memory.slots = Slots(
                state["vectors"].astype(np.float32),
                *(state[field.name].astype(np.float64) for field in fields(Slots)[1:]),
            )
        return memory

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return everything that a memory is, beside its settings, as arrays."""
        nothing = np.zeros(0)
        slots = self.slots or Slots(np.zeros((0, 0), np.float32), *(nothing,) * 4)
        return {
            **{field.name: getattr(slots, field.name).copy() for field in fields(Slots)},
            "attention": self._attention.copy(),
            "counters": np.array([self.updates, self.frames]),
        }

    def update(self, vectors: Vector, *, times_s: Floats | None = None) -> None:
        """Take in a chunk `vectors [L, D]` of any length; the first one fills the whole line.

        `times_s [L]` never falls; where it is not given, frames are numbered from 0.
        """
        chunk = self._cells(vectors, times_s)
        length = len(chunk.weight)
        if self.slots is None:
            self.slots = _apply(self._refit(np.arange(length + 1) / length, past=0.0), chunk)
        else:
            self.slots = _apply(self._contraction(length), _join(self.slots, chunk))
        self.updates += 1
        self.frames += length
        self._attention[:] = 0

    def read(self, queries: Vector) -> Vector:
        """Return `[Q, D]`, for each of `queries [Q, D]` the mean of the signal under its density.

        What the queries attended to is what the next sticky contraction keeps wide.
        """
        if self.slots is None:
            raise UsageError("nothing can be read from an empty memory; call update first")
        vectors = self.slots.vectors
        if queries.ndim != 2 or queries.shape[1] != vectors.shape[1]:
            raise UsageError(f"queries must be [Q, {vectors.shape[1]}], got {list(queries.shape)}")
        density = attention(queries, vectors)  # [Q, N]
        self._attention += density.sum(axis=0, dtype=np.float64)
        return density @ vectors

    def _cells(self, vectors: Vector, times_s: Floats | None) -> Slots:
        """Return a chunk as cells of one frame each."""
        dim = "D" if self.slots is None else self.slots.vectors.shape[1]
        if vectors.ndim != 2 or 0 in vectors.shape or dim not in ("D", vectors.shape[1]):
            raise UsageError(
                f"vectors must be [L, {dim}], none of them 0, got {list(vectors.shape)}"
            )
        if not np.isfinite(vectors).all():
            raise UsageError("vectors must be finite; one that is not would spoil the whole memory")
        length = len(vectors)
        times = np.arange(self.frames, self.frames + length) if times_s is None else times_s
        times = np.asarray(times, dtype=np.float64)
        last_s = -np.inf if self.slots is None else self.slots.last_s.max()
        falling = times.shape != (length,) or not np.all(np.diff(times, prepend=last_s) >= 0)
        if falling or not np.isfinite(times).all():
            raise UsageError(
                f"times_s must be {length} times that never fall, from {last_s:g} s on, got {times}"
            )
        return Slots(vectors.astype(np.float32), np.ones(length), times, times, times)

    def _contraction(self, length: int) -> Refit:
        """Return the step from N cells of the past and `length` new ones to N slots.

        The uniform one is the same at every update, and is kept.
        """
        count = self.config.slots
        read = float(self._attention.sum()) if self.config.sticky else 0.0
        if read == 0 and self._uniform is not None and self._uniform[0] == length:
            return self._uniform[1]
        tau = self.config.tau ** (length / self.config.chunk)
        warped = np.arange(count + 1) / count  # [N + 1]
        if read > 0:
            warped[1:] = np.cumsum(self._attention)
            warped /= warped[-1]
        edges = np.concatenate([tau * warped, tau + (1 - tau) * np.arange(1, length + 1) / length])
        edges[-1] = 1.0
        generator = np.random.default_rng([self.config.seed, self.updates])
        refit = self._refit(edges, past=tau, offset=generator.random() if read > 0 else 0.5)
        if read == 0:
            self._uniform = length, refit
        return refit

    def _refit(self, edges: Floats, *, past: float, offset: float = 0.5) -> Refit:
        """Return the fit of the slots to cells with `edges [S + 1]`; those in [0, past] are old."""
        config = self.config
        overlaps, frames = overlap(edges, slots=config.slots)
        if config.fit == "mean":
            return Refit(overlaps, frames)
        new = len(edges) - 1 - (config.slots if past else 0)
        points = [past + (1 - past) * (np.arange(new) + 0.5) / new]
        if past:
            points = [past * ((np.arange(config.samples) + offset) / config.samples), *points]
        regression = ridge_fit(
            edges, points=np.concatenate(points), slots=config.slots, ridge=config.ridge
        )
        return Refit(regression, frames)


def attention(queries: Vector, keys: Vector) -> Vector:
    """Return the density of `queries [Q, D]` over `keys [N, D]` as `[Q, N]`; rows add up to 1."""
    scores = queries.astype(np.float32) @ keys.T / np.float32(np.sqrt(keys.shape[1]))
    scores -= scores.max(axis=1, keepdims=True)
    density = np.exp(scores)
    return np.asarray(density / density.sum(axis=1, keepdims=True), dtype=np.float32)


def overlap(edges: Floats, *, slots: int) -> tuple[Parts, Parts]:
    """Cut the cells between `edges [S + 1]` of [0, 1] at the bounds of the bins.

    The first parts have as their factor what part of the bin a piece is, the second ones what part
    of its cell. A cell of no length is one piece all the same: its frames have to stay somewhere.
    """
    cells = len(edges) - 1
    marks = np.concatenate([edges, np.arange(slots + 1) / slots])
    order = np.argsort(marks, kind="stable")
    is_edge = order <= cells
    cell = np.clip(np.cumsum(is_edge)[:-1] - 1, 0, cells - 1)
    bin_ = np.clip(np.cumsum(~is_edge)[:-1] - 1, 0, slots - 1)
    length = np.diff(marks[order])
    kept = length > LEAST_LENGTH
    lost = np.setdiff1d(np.arange(cells), cell[kept])
    kept[np.searchsorted(cell, lost)] = True
    cell, bin_, length = cell[kept], bin_[kept], length[kept]
    of_bin = length / np.bincount(bin_, length)[bin_]
    length[np.isin(cell, lost)] = 1.0
    of_cell = length / np.bincount(cell, length)[cell]
    return Parts(cell, bin_, of_bin), Parts(cell, bin_, of_cell)


def ridge_fit(edges: Floats, *, points: Floats, slots: int, ridge: float) -> Parts:
    """Return the ridge regression on the values of the cells at rising `points [P]` of [0, 1)."""
    cell = np.searchsorted(edges, points, side="right") - 1
    bin_ = np.minimum((points * slots).astype(np.int64), slots - 1)
    return Parts(cell, bin_, 1 / (np.bincount(bin_)[bin_] + ridge))


def _join(past: Slots, chunk: Slots) -> Slots:
    pairs = ((getattr(past, field.name), getattr(chunk, field.name)) for field in fields(Slots))
    return Slots(*(np.concatenate(pair) for pair in pairs))


def _apply(refit: Refit, cells: Slots) -> Slots:
    """Return the slots that `refit` makes of `cells`."""
    count = int(refit.frames.bin[-1]) + 1
    parts = refit.vectors
    filled, starts = np.unique(parts.bin, return_index=True)
    vectors = np.zeros((count, cells.vectors.shape[1]), dtype=np.float32)
    vectors[filled] = np.add.reduceat(
        parts.factor[:, None].astype(np.float32) * cells.vectors[parts.cell], starts
    )
    parts = refit.frames
    starts = np.searchsorted(parts.bin, np.arange(count))
    shares = parts.factor * cells.weight[parts.cell]  # [P]
    weight = np.add.reduceat(shares, starts)
    first_s = np.minimum.reduceat(cells.first_s[parts.cell], starts)
    last_s = np.maximum.reduceat(cells.last_s[parts.cell], starts)
    after_s = cells.mean_s[parts.cell] - first_s[parts.bin]
    mean_s = first_s + np.add.reduceat(shares * after_s, starts) / np.maximum(weight, 1e-300)
    return Slots(vectors, weight, first_s, np.clip(mean_s, first_s, last_s), last_s)
