"""What a memory held over time, in few enough samples to keep for ever."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SAMPLES = 128


@dataclass(frozen=True, slots=True)
class Sample:
    """What was held when `frames_seen` frames had been taken in.

    Entries by tier, `bytes` of the budget, and how many entries had left by then: merged into
    others, let go for want of room, and deleted.
    """

    frames_seen: int
    sensory: int
    working: int
    long_term: int
    bytes: int
    merged: int
    lost: int
    deleted: int


class History:
    """Samples at even steps; when there are too many, every second goes and the step doubles."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._samples = list(samples)
        self._step = 1
        if len(self._samples) > 1:
            self._step = self._samples[1].frames_seen - self._samples[0].frames_seen

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def is_due(self, frames_seen: int) -> bool:
        """Return whether a sample is wanted at this number of frames."""
        return frames_seen % self._step == 0

    def record(self, sample: Sample) -> None:
        """Put in the newest sample."""
        self._samples.append(sample)
        if len(self._samples) > SAMPLES:
            self._step *= 2
            self._samples = [one for one in self._samples if self.is_due(one.frames_seen)]
