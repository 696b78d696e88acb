"""Composed streams show what their truth says."""

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.compose import compose_stream, plan_shots
from pipelines.footage import CLIPS, PICTURES, Footage, present, required
from streammem.errors import MissingExtra, UsageError

needs_footage = pytest.mark.skipif(
    len(present(PICTURES + CLIPS)) < len(PICTURES + CLIPS),
    reason="the sample footage is missing: pip install 'streammem[demo]'",
)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(30, 2000))
def test_a_plan_fills_the_stream_without_holes(seed: int, seconds: float) -> None:
    shots = plan_shots(seconds=seconds, seed=seed)
    assert shots[0].start_s == 0.0
    assert shots[-1].end_s == pytest.approx(seconds, abs=0.06)
    for before, after in pairwise(shots):
        assert before.end_s == after.start_s
        assert not (before.still and after.still and before.name == after.name)
    assert plan_shots(seconds=seconds, seed=seed) == shots


def test_every_picture_is_shown_once_before_any_comes_again() -> None:
    stills = [shot.name for shot in plan_shots(seconds=900, seed=3) if shot.still]
    assert {*stills[: len(PICTURES)]} == {picture.name for picture in PICTURES}
    assert len(stills) > len(PICTURES)


def test_a_stream_needs_something_to_show() -> None:
    with pytest.raises(UsageError, match="at least one picture and one clip"):
        plan_shots(seconds=10, seed=0, pictures=())


def test_footage_that_is_not_installed_names_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r"streammem\[demo\]"):
        required(Footage("x", "no_such_package_here", "x.png", ("x",)))


@needs_footage
def test_the_stream_shows_each_still_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "stream.mp4"
    told: list[float] = []
    composition = compose_stream(
        path, seconds=40, seed=1, fps=5, size=(160, 96), progress=told.append
    )
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(frames) == 200
    assert told == sorted(told) and told[-1] == pytest.approx(39, abs=0.5)
    moved = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in pairwise(frames)]
    cuts = {round(shot.start_s * 5) for shot in composition.timeline[1:]}
    steps = sorted(moved[i - 1] for i in cuts)
    assert steps[0] > np.median(moved) * 2
    truth = json.loads(path.with_suffix(".truth.json").read_text())
    assert truth["seed"] == 1
    assert [shot["name"] for shot in truth["timeline"]] == [s.name for s in composition.timeline]
