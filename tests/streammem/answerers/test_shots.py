"""Shots out of entries, and what they are called."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammem.answerers.shots import Shot, cut_shots, name_shots
from streammem.records import MemoryEntry, Vector
from tests.fakes import FakeEncoder, entry, stream

KIN = {"cat": ("cat", "dog")}


class KinEncoder(FakeEncoder):
    """Counts dogs in when it looks for cats."""

    def presence(self, text: str, keys: Vector) -> Vector:
        parts = [super(KinEncoder, self).presence(word, keys) for word in KIN.get(text, (text,))]
        summed: Vector = np.sum(parts, axis=0)
        return summed


def turned(degrees: list[float]) -> list[MemoryEntry]:
    """Return entries whose visual keys point to these directions."""
    encoder = FakeEncoder()
    return [
        replace(
            entry(number, "cat", encoder=encoder),
            visual=np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))], np.float32),
        )
        for number, turn in enumerate(degrees)
    ]


def numbers(shots: list[Shot]) -> list[list[int]]:
    return [[one.entry_id for one in shot.entries] for shot in shots]


def test_a_shot_ends_where_the_picture_changes() -> None:
    view = stream(("cat", 2), ("dog", 3), ("cat", 1))
    assert numbers(cut_shots(view.entries(), alike=0.4)) == [[0, 1], [2, 3, 4], [5]]
    assert numbers(cut_shots(view.entries(), alike=0.0)) == [[0, 1, 2, 3, 4, 5]]
    assert cut_shots([], alike=0.4) == []


def test_slow_change_is_no_cut() -> None:
    """Neighbours are compared, so that a picture may drift to where it has nothing in common."""
    assert numbers(cut_shots(turned([0, 30, 60, 90]), alike=0.8)) == [[0, 1, 2, 3]]
    assert numbers(cut_shots(turned([0, 90]), alike=0.8)) == [[0], [1]]


@given(st.lists(st.integers(0, 180), max_size=20), st.sampled_from([0.0, 0.5, 0.9]))
def test_every_entry_is_in_one_shot_and_cuts_are_where_neighbours_differ(
    degrees: list[int], alike: float
) -> None:
    entries = turned([float(turn) for turn in degrees])
    shots = cut_shots(entries, alike=alike)
    assert [one for shot in shots for one in shot.entries] == entries
    cuts = {shot.entries[0].entry_id for shot in shots[1:]}
    assert cuts == {
        later.entry_id
        for earlier, later in pairwise(entries)
        if float(earlier.visual @ later.visual) < alike
    }


def test_a_shot_of_merged_entries() -> None:
    encoder = FakeEncoder()
    long = entry(0, "cat", encoder=encoder, start_s=2.0, end_s=8.0, count=3)
    short = entry(1, "dog", encoder=encoder, start_s=9.0, source_id="stream")
    shot = Shot((long, short))
    assert (shot.start_s, shot.end_s, shot.frames, shot.source_id) == (2.0, 9.0, 4, "stream")
    assert [shot.distance_s(time_s) for time_s in (0.0, 2.0, 5.0, 9.0, 10.5)] == [2, 0, 0, 0, 1.5]
    assert np.linalg.norm(shot.key()) == pytest.approx(1.0)
    (cat, three), (dog, one) = encoder.describe(shot.key(), k=2)
    assert (cat, dog) == ("cat", "dog")
    assert three == pytest.approx(9 * one)


def test_shots_are_named_by_what_they_show() -> None:
    view = stream(("cat", 2), ("dog", 3))
    named = name_shots(cut_shots(view.entries(), alike=0.4), view.encoder)
    assert [shot.name for shot in named] == ["cat", "dog"]
    assert [shot.surety for shot in named] == pytest.approx([1.0, 1.0])
    moment = named[1].evidence()
    assert (moment.entry_id, moment.start_s, moment.end_s, moment.label) == (3, 2.0, 4.0, "dog")
    assert moment.presence == pytest.approx(1.0)


def test_near_kin_make_a_name_surer() -> None:
    view = stream(({"dog": 0.4, "cat": 0.35, "rocket": 0.25}, 3), encoder=KinEncoder())
    (shot,) = name_shots(cut_shots(view.entries(), alike=0.4), view.encoder)
    assert shot.name == "cat"
    assert shot.surety == pytest.approx(0.75)


def test_unlikely_guesses_are_no_names() -> None:
    view = stream(({"dog": 0.6, "cat": 0.05, "rocket": 0.35}, 3), encoder=KinEncoder())
    (shot,) = name_shots(cut_shots(view.entries(), alike=0.4), view.encoder)
    assert shot.name == "dog"
