"""XMem's memory (arXiv:2207.07115) in the plainest way: float64, token by token."""

import math
from dataclasses import dataclass, field

import numpy as np

Side = tuple[np.ndarray, np.ndarray]
"""Keys `[N, C]` with shrinkage `[N]`, or queries `[Q, C]` with selection `[Q, C]`."""


def plain_similarity(memory: Side, query: Side) -> np.ndarray:
    """Return S of every pair, `[Q, N]`."""
    (key, shrinkage), (asked, selection) = memory, query
    found = np.zeros((len(asked), len(key)))
    for j in range(len(asked)):
        difference = key.astype(np.float64) - asked[j].astype(np.float64)
        total = (selection[j].astype(np.float64) * difference**2).sum(axis=1)
        found[j] = -shrinkage.astype(np.float64) / math.sqrt(key.shape[1]) * total
    return found


def plain_softmax(scores: np.ndarray) -> np.ndarray:
    largest = max(scores)
    powers = np.array([math.exp(score - largest) for score in scores])
    return powers / powers.sum()


def plain_read(
    memory: Side, values: np.ndarray, query: Side, k: int
) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Return what is read, the mass of each token, and the tokens of each query in order."""
    scores = plain_similarity(memory, query)
    out, mass, rows = np.zeros((len(scores), values.shape[1])), np.zeros(len(values)), []
    for j, row in enumerate(scores):
        best = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        for i, weight in zip(best, plain_softmax(row[best]), strict=True):
            out[j] += weight * values[i]
            mass[i] += weight
        rows.append(best)
    return out, mass, rows


@dataclass(eq=False)
class Token:
    """A token of one frame, with the values of the objects that were there."""

    key: np.ndarray
    shrinkage: float
    selection: np.ndarray
    values: dict[str, np.ndarray]
    since: int
    mass: float = 0.0


@dataclass
class PlainMemory:
    """Frames of tokens, the first of them for good, and the long-term tokens."""

    top_k: int
    max_frames: int
    min_frames: int
    prototypes: int
    long_term_tokens: int
    first: list[Token] = field(default_factory=list)
    long_term: list[Token] = field(default_factory=list)
    recent: list[list[Token]] = field(default_factory=list)
    reads: int = 0

    def tokens(self) -> list[Token]:
        return [*self.first, *self.long_term, *(one for frame in self.recent for one in frame)]

    def usage(self, token: Token) -> float:
        return token.mass / max(1, self.reads - token.since)

    def add(self, frame: list[Token]) -> None:
        if not self.tokens():
            self.first = frame
        else:
            self.recent.append(frame)
        if 1 + len(self.recent) == self.max_frames:
            self.consolidate()

    def read(self, query: Side, name: str, *, share: float) -> np.ndarray:
        """Return what an object's queries read, and give its tokens this share of attention."""
        held = [token for token in self.tokens() if name in token.values]
        values = np.stack([token.values[name] for token in held])
        out, mass, _ = plain_read(side_of(held), values, query, self.top_k)
        for token, received in zip(held, mass, strict=True):
            token.mass += share * received
        return out

    def consolidate(self) -> None:
        old = self.max_frames - self.min_frames
        candidates = [token for frame in self.recent[:old] for token in frame]
        self.recent = self.recent[old:]
        by_usage = sorted(range(len(candidates)), key=lambda i: (-self.usage(candidates[i]), i))
        made = [
            self.potentiated(candidates[i], candidates) for i in sorted(by_usage[: self.prototypes])
        ]
        while len(self.long_term) + len(made) > self.long_term_tokens:
            self.long_term.remove(min(self.long_term, key=self.usage))
        self.long_term += made

    def potentiated(self, token: Token, candidates: list[Token]) -> Token:
        query = token.key[None], token.selection[None]
        weights = plain_softmax(plain_similarity(side_of(candidates), query)[0])
        shrinkage = sum(
            weight * one.shrinkage for weight, one in zip(weights, candidates, strict=True)
        )
        values = {}
        for name in token.values:
            held = [one for one in candidates if name in one.values]
            weights = plain_softmax(plain_similarity(side_of(held), query)[0])
            values[name] = sum(
                weight * one.values[name] for weight, one in zip(weights, held, strict=True)
            )
        return Token(token.key, shrinkage, token.selection, values, token.since, token.mass)

    def remove_object(self, name: str) -> None:
        for token in self.tokens():
            token.values.pop(name, None)
        self.first, self.long_term, *recent = [
            [token for token in tokens if token.values]
            for tokens in (self.first, self.long_term, *self.recent)
        ]
        self.recent = [frame for frame in recent if frame]


def side_of(tokens: list[Token]) -> Side:
    return np.stack([one.key for one in tokens]), np.array([one.shrinkage for one in tokens])
