"""A stream cut into shots where the picture changes, and the names of what they show."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streammem.protocols import Encoder
from streammem.records import Evidence, MemoryEntry, Vector

_GUESSES = 3
_LEAST_GUESS = 0.1


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of entries that look alike.

    `name` is what it shows most likely, "" before `name_shots`; `surety` in [0, 1] the probability
    that it shows that or what is nearly the same.
    """

    entries: tuple[MemoryEntry, ...]
    name: str = ""
    surety: float = 0.0

    @property
    def start_s(self) -> float:
        return self.entries[0].start_s

    @property
    def end_s(self) -> float:
        return self.entries[-1].end_s

    @property
    def source_id(self) -> str:
        return self.entries[0].source_id

    @property
    def frames(self) -> int:
        """How many frames of the source it was made of."""
        return sum(entry.count for entry in self.entries)

    def distance_s(self, time_s: float) -> float:
        """Return how far a moment lies from the shot, 0 inside it."""
        return max(self.start_s - time_s, time_s - self.end_s, 0.0)

    def key(self) -> Vector:
        """Return the mean key `[D]` of its frames, of unit length."""
        weights = np.array([entry.count for entry in self.entries], np.float32)
        mean: Vector = weights @ np.stack([entry.key for entry in self.entries])
        unit: Vector = mean / np.linalg.norm(mean)
        return unit

    def evidence(self) -> Evidence:
        """Return the shot as a moment, its middle entry for the picture."""
        middle = self.entries[len(self.entries) // 2]
        return Evidence(
            entry_id=middle.entry_id,
            source_id=middle.source_id,
            start_s=self.start_s,
            end_s=self.end_s,
            score=self.surety,
            peak_s=middle.mean_s,
            presence=self.surety,
            label=self.name,
        )


def cut_shots(entries: Sequence[MemoryEntry], *, alike: float) -> list[Shot]:
    """Return the shots of one source's `entries`, which are in order of time.

    Two neighbours whose visual keys have a cosine below `alike` lie in different shots.
    """
    runs: list[list[MemoryEntry]] = []
    for entry in entries:
        if runs and float(runs[-1][-1].visual @ entry.visual) >= alike:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return [Shot(tuple(run)) for run in runs]


def name_shots(shots: Sequence[Shot], encoder: Encoder) -> list[Shot]:
    """Return the shots with their names.

    A picture of a cat spreads its probability over several kinds of cats. So a name's surety is
    the presence of what the name says, which counts its near kin in; of the likeliest names the
    surest is taken.
    """
    keys = [shot.key() for shot in shots]
    shots_of: defaultdict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        guesses = encoder.describe(key, k=_GUESSES)
        for name, probability in guesses:
            if probability >= _LEAST_GUESS or name == guesses[0][0]:
                shots_of[name].append(place)
    named = [*shots]
    for name, places in shots_of.items():
        presence = encoder.presence(name, np.stack([keys[place] for place in places]))
        for place, surety in zip(places, presence, strict=True):
            if not named[place].name or surety > named[place].surety:
                named[place] = replace(shots[place], name=name, surety=float(surety))
    return named
