"""XMem's memory of tokens (arXiv:2207.07115), for streams of any length and objects that come late.

Working memory holds whole frames of tokens. When it has T_max of them, all but the first frame and
the newest T_min - 1 become P prototypes, which join long-term memory; there, the tokens of least
usage make room. Usage is the attention that a token received over the number of reads since it
came. All tokens lie in one array in the order of time: the first frame, long-term memory, and then
the newer frames.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_banks.tokens.affinity import Attention, attend
from memory_banks.tokens.checks import check_matrix, check_selection, check_shrinkage
from memory_banks.tokens.potentiation import prototypes
from memory_banks.tokens.settings import TokenMemoryConfig, check_goes_on
from memory_banks.tokens.store import (
    PRESENT,
    VALUE,
    Floats,
    Mask,
    TokenStore,
    alike,
    objects_of,
    rows_of,
)
from streammem.errors import UsageError, one_of
from streammem.records import Vector


class TokenMemory:
    """Tokens that queries read, with their values for every object.

    An object comes with the first frame that brings values for it, and is read from the tokens
    that have some; objects that the same tokens have values for share one attention.
    """

    def __init__(self, config: TokenMemoryConfig | None = None) -> None:
        self.config = config or TokenMemoryConfig()
        self._store = TokenStore(
            capacity=self.config.capacity,
            key_dim=self.config.key_dim,
            value_dim=self.config.value_dim,
        )
        self._first = self._long_term = self._reads = 0
        self._recent: list[Vector] = []  # selections [T, C] of the frames after the first

    @classmethod
    def restore(cls, config: TokenMemoryConfig, state: Mapping[str, NDArray[Any]]) -> "TokenMemory":
        """Return the memory whose `state` this is; it goes on exactly as that one would have."""
        memory = cls(config)
        needed = {*memory.state(), *(PRESENT + name for name in objects_of(state))}
        if missing := sorted(needed - set(state)):
            raise UsageError(f"the state of a token memory lacks {', '.join(missing)}")
        check_goes_on(config, state)
        memory._first, memory._long_term, memory._reads = state["counters"].tolist()
        selections = np.split(state["selection"].astype(np.float32), np.cumsum(state["lengths"]))
        memory._recent = selections[:-1]
        for name in objects_of(state):
            memory._store.add_object(name)
        memory._store.splice(0, 0, state)
        return memory

    def __len__(self) -> int:
        return self._store.size

    @property
    def long_term(self) -> int:
        """How many of the tokens are prototypes."""
        return self._long_term

    @property
    def objects(self) -> tuple[str, ...]:
        """The names of the objects that can be read, sorted."""
        return self._store.objects

    @property
    def usage(self) -> Floats:
        """Return `[N]`, the attention that each token received in a read on average."""
        columns = self._store.columns
        return np.asarray(columns["mass"] / np.maximum(self._reads - columns["since"], 1))

    @property
    def bytes(self) -> int:
        """Bytes of all arrays, filled or not; never more than `config.limit_bytes`."""
        return self._store.nbytes + sum(selection.nbytes for selection in self._recent)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that a memory is, beside its settings, as arrays."""
        nothing = np.zeros((0, self.config.key_dim), dtype=np.float32)
        return {
            **{name: column.copy() for name, column in self._store.columns.items()},
            "selection": np.concatenate([nothing, *self._recent]),
            "lengths": np.array([len(one) for one in self._recent], dtype=np.int64),
            "counters": np.array([self._first, self._long_term, self._reads]),
        }

    def add(
        self, key: Vector, shrinkage: Vector, selection: Vector, values: Mapping[str, Vector]
    ) -> tuple[str, ...]:
        """Take in a frame; return the objects of which consolidation left nothing.

        The frame is `key [T, C]`, `shrinkage [T]`, `selection [T, C]` and for each object that is
        seen a value `[T, V]`. The first frame is kept for good.
        """
        self._check_frame(key, shrinkage, selection, values)
        size, count = len(self), len(key)
        for name in values.keys() - set(self.objects):
            self._store.add_object(name)
        tokens: dict[str, NDArray[Any]] = {
            "key": key,
            "shrinkage": shrinkage,
            "mass": np.zeros(count),
            "since": np.full(count, self._reads),
            **{VALUE + name: value for name, value in values.items()},
            **{PRESENT + name: np.ones(count, dtype=np.bool_) for name in values},
        }
        self._store.splice(size, size, tokens)
        if size == 0:
            self._first = count
        else:
            self._recent.append(selection.astype(np.float32))
        if 1 + len(self._recent) < self.config.max_frames:
            return ()
        self._consolidate()
        lost = tuple(name for name in self.objects if not self._store.present(name).any())
        for name in lost:
            self._store.remove_object(name)
        return lost

    def read(self, query: Vector, selection: Vector) -> dict[str, Vector]:
        """Return for each object `[Q, V]`, what `query [Q, C]` with `selection [Q, C]` reads.

        The attention is counted as usage; where objects are read from different tokens, each
        object has an equal share in it, so that a query always gives 1 in all.
        """
        if not self.objects:
            raise UsageError("nothing can be read from an empty memory; call add first")
        check_matrix(query, "query", rows=None, width=self.config.key_dim)
        check_selection(selection, rows=len(query), width=self.config.key_dim)
        columns = self._store.columns
        found: dict[str, Vector] = {}
        for present, names in alike(columns, self.objects):
            attention = self._attend(query, selection, present)
            columns["mass"] += attention.mass(len(self)) * (len(names) / len(self.objects))
            found |= {name: attention.read(self._store.value(name)) for name in names}
        self._reads += 1
        return found

    def remove_object(self, name: str) -> None:
        """Let go of an object, and of the tokens that only it has values for."""
        if name not in self.objects:
            raise one_of("object", name, self.objects)
        self._store.remove_object(name)
        kept = np.zeros(len(self), dtype=np.bool_)
        for other in self.objects:
            kept |= self._store.present(other)
        ends = np.cumsum([self._first, self._long_term, *map(len, self._recent)])
        first, long_term, *recent = np.split(kept, ends[:-1])
        self._first, self._long_term = int(first.sum()), int(long_term.sum())
        frames = zip(self._recent, recent, strict=True)
        self._recent = [selection[mask] for selection, mask in frames if mask.any()]
        self._store.keep(kept)

    def _attend(self, query: Vector, selection: Vector, present: Mask) -> Attention:
        """Return the attention to those tokens that are `present [N]`."""
        columns, k = self._store.columns, self.config.top_k
        if present.all():
            return attend(columns["key"], columns["shrinkage"], query, selection, k=k)
        rows = np.flatnonzero(present)
        key, shrinkage = columns["key"][rows], columns["shrinkage"][rows]
        attention = attend(key, shrinkage, query, selection, k=k)
        return Attention(rows[attention.rows], attention.weights)

    def _consolidate(self) -> None:
        """Make prototypes of the oldest frames, and room for them."""
        config = self.config
        count = config.max_frames - config.min_frames
        selection = np.concatenate(self._recent[:count])
        del self._recent[:count]
        usage = self.usage
        start = self._first + self._long_term
        span = slice(start, start + len(selection))
        candidates = rows_of(self._store.columns, span)
        made = prototypes(candidates, selection, usage[span], count=config.prototypes)
        self._store.splice(span.start, span.stop, made)
        self._long_term += len(made["key"])
        excess = max(0, self._long_term - config.long_term_tokens)
        least = self._first + np.argsort(usage[self._first : start], kind="stable")[:excess]
        kept = np.ones(len(self), dtype=np.bool_)
        kept[least] = False
        self._store.keep(kept)
        self._long_term -= excess

    def _check_frame(
        self, key: Vector, shrinkage: Vector, selection: Vector, values: Mapping[str, Vector]
    ) -> None:
        config = self.config
        check_matrix(key, "key", rows=None, width=config.key_dim)
        count = len(key)
        if not 1 <= count <= config.frame_tokens:
            raise UsageError(
                f"a frame must have 1 to {config.frame_tokens} tokens, got {count}; pool them to "
                "fewer, or raise frame_tokens"
            )
        check_shrinkage(shrinkage, rows=count)
        check_selection(selection, rows=count, width=config.key_dim)
        if not values:
            raise UsageError("a frame must bring the values of at least one object, got none")
        for name, value in values.items():
            check_matrix(value, f"the value of {name!r}", rows=count, width=config.value_dim)
        held = sorted({*self.objects, *values})
        if len(held) > config.objects:
            raise UsageError(
                f"there is room for {config.objects} objects, got {', '.join(held)}; remove one, "
                "or raise objects"
            )
