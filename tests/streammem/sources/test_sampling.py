"""Which frames are wanted."""

import math

import pytest

from streammem.errors import UsageError
from streammem.sources.sampling import Sampler, SamplingConfig


def sampled(times: list[float], **settings: float) -> list[float]:
    """Return those of `times` that a sampler takes."""
    sampler = Sampler(SamplingConfig(**settings))  # type: ignore[arg-type]
    taken = []
    for time_s in times:
        if not sampler.ended(time_s) and sampler.wants(time_s):
            sampler.take(time_s)
            taken.append(time_s)
    return taken


def test_takes_the_first_frame_at_or_after_each_target() -> None:
    assert sampled([0.0, 0.9, 1.1, 1.9, 2.0, 2.1, 3.5], fps=1) == [0.0, 1.1, 2.0, 3.5]


def test_a_late_frame_answers_several_targets_once() -> None:
    assert sampled([0.0, 4.5, 5.0], fps=1) == [0.0, 4.5, 5.0]
    assert sampled([0.0, 4.5, 4.8], fps=1) == [0.0, 4.5]


def test_zero_fps_takes_every_frame() -> None:
    assert sampled([0.0, 0.01, 0.02], fps=0) == [0.0, 0.01, 0.02]


def test_targets_start_at_start_and_stop_before_end() -> None:
    assert sampled([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], fps=1, start_s=0.5, end_s=2.5) == [0.5, 1.5]


def test_a_start_just_after_a_frame_does_not_take_it_again() -> None:
    last_s = 1.0
    assert sampled([0.5, 1.0, 1.5], fps=0, start_s=math.nextafter(last_s, 2.0)) == [1.5]


def test_rounded_times_still_meet_their_targets() -> None:
    thirds = [n / 30 for n in range(91)]
    assert sampled(thirds, fps=3) == [n / 30 for n in range(0, 91, 10)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fps": -1.0}, "fps must be 0 for every frame, or more, got -1.0"),
        ({"fps": math.nan}, "fps must be"),
        ({"start_s": -1.0}, "start_s must be 0 or more"),
        ({"start_s": 5.0, "end_s": 5.0}, "end_s must be after start_s, got 5.0"),
        ({"max_side": 3}, "max_side must be 0 or at least 16"),
        ({"seconds_per_image": 0.0}, "seconds_per_image must be above 0"),
        ({"ahead": 0}, "ahead must be at least 1"),
        ({"stall_s": 0.0}, "stall_s must be above 0"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SamplingConfig(**settings)  # type: ignore[arg-type]
