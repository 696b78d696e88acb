"""Which frames of a source are wanted, and how they are to be read."""

import math
from dataclasses import dataclass

from streammem.errors import UsageError

_SLACK_TICKS = 1e-6


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How a source is sampled.

    Wanted is the first frame at or after each `start_s + n / fps` on the source's own clock, up to
    but without `end_s`; `fps` 0 wants every frame. A picture longer than `max_side` pixels is made
    smaller to that, 0 keeps its size. `seconds_per_image` is how long a picture of a folder is
    shown. At most `ahead` frames are decoded before they are asked for. A source that makes no
    progress for `stall_s` seconds is given up.
    """

    fps: float = 1.0
    start_s: float = 0.0
    end_s: float | None = None
    max_side: int = 1280
    seconds_per_image: float = 1.0
    ahead: int = 8
    stall_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value, allowed, right in (
            ("fps", self.fps, "0 for every frame, or more", self.fps >= 0),
            ("start_s", self.start_s, "0 or more", self.start_s >= 0),
            ("end_s", self.end_s, "after start_s", (self.end_s or math.inf) > self.start_s),
            (
                "max_side",
                self.max_side,
                "0 or at least 16",
                self.max_side == 0 or self.max_side > 15,
            ),
            ("seconds_per_image", self.seconds_per_image, "above 0", self.seconds_per_image > 0),
            ("ahead", self.ahead, "at least 1", self.ahead >= 1),
            ("stall_s", self.stall_s, "above 0", self.stall_s > 0),
        ):
            if not right or (isinstance(value, float) and not math.isfinite(value)):
                raise UsageError(f"{name} must be {allowed}, got {value}")


class Sampler:
    """Says of each time in turn whether its frame is wanted; `take` marks one as had."""

    def __init__(self, config: SamplingConfig) -> None:
        self._config = config
        self._next_tick = 0

    def wants(self, time_s: float) -> bool:
        """Return whether the frame at `time_s` is the first at or after an open target."""
        if self._config.fps == 0:
            return time_s >= self._config.start_s
        return self._tick(time_s) >= self._next_tick

    def take(self, time_s: float) -> None:
        """Close every target up to `time_s`."""
        if self._config.fps > 0:
            self._next_tick = self._tick(time_s) + 1

    def ended(self, time_s: float) -> bool:
        """Return whether `time_s` is past the wanted span."""
        return self._config.end_s is not None and time_s >= self._config.end_s

    @property
    def target_s(self) -> float:
        """The time of the first target that is still open."""
        if self._config.fps == 0:
            return self._config.start_s
        return self._config.start_s + self._next_tick / self._config.fps

    def _tick(self, time_s: float) -> int:
        """Return the number of the last target at or before `time_s`, with room for rounding."""
        return math.floor((time_s - self._config.start_s) * self._config.fps + _SLACK_TICKS)
