"""Where a thing is seen, and how sure that is."""

from itertools import pairwise

import pytest

from streammem.answerers.moments import MomentConfig
from streammem.answerers.sighting import Sighting, look_for
from tests.fakes import FakeEncoder, ListView, stream

CONFIG = MomentConfig(on=0.3, off=0.1, gap_s=2.5)
VIEW = stream(("cat", 4), ("nothing", 4), ({"dog": 0.2}, 4), ("rocket", 4), ("cat", 2))


def look(asked: str, view: ListView = VIEW, *, part: slice = slice(None)) -> Sighting:
    return look_for(asked, view, view.entries()[part], config=CONFIG, absent_below=0.05)


@pytest.mark.parametrize(
    ("asked", "grade"),
    [
        ("cat", "sure"),
        ("dog", "unsure"),
        ("motorcycle", "absent"),
        ("giraffe", "unknown"),
    ],
)
def test_grade(asked: str, grade: str) -> None:
    assert look(asked).grade == grade


def test_moments_and_seconds_of_what_is_seen() -> None:
    seen = look("cat")
    assert [(moment.start_s, moment.end_s) for moment in seen.moments] == [(0, 3), (16, 17)]
    assert [moment.label for moment in seen.moments] == ["cat", "cat"]
    assert seen.seconds == pytest.approx(6.0)


def test_only_the_given_entries_are_looked_at() -> None:
    assert look("cat", part=slice(4, 12)).grade == "absent"
    assert look("cat", part=slice(4, None)).moments[0].start_s == 16
    assert all(4 <= moment.start_s <= 11 for moment in look("cat", part=slice(4, 12)).closest)


def test_closest_moments_are_apart_and_best_first() -> None:
    closest = look("dog").closest
    assert 8 <= closest[0].start_s <= 11
    scores = [moment.score for moment in closest]
    assert scores == sorted(scores, reverse=True)
    starts = sorted(moment.start_s for moment in closest)
    assert all(b - a > CONFIG.gap_s for a, b in pairwise(starts))


def test_less_is_looked_for_where_the_whole_is_not_known() -> None:
    seen = look("red cat on a sofa")
    assert (seen.grade, seen.subject, seen.asked) == ("sure", "cat", "red cat on a sofa")
    assert seen.said == "cat (all that I can tell of “red cat on a sofa”)"
    assert look("cat").said == "cat"


def test_what_the_phrase_is_about_has_to_be_known() -> None:
    """A man with a cat is not said to be absent by one who knows cats alone."""
    assert look("man with a motorcycle").grade == "unknown"


def test_two_sources_are_not_joined() -> None:
    encoder = FakeEncoder()
    door = stream(("cat", 3), encoder=encoder, source_id="door")
    yard = stream(("cat", 3), encoder=encoder, source_id="yard", first_number=3)
    seen = look("cat", ListView((*door.kept, *yard.kept), encoder))
    assert [moment.source_id for moment in seen.moments] == ["door", "yard"]
    assert seen.seconds == pytest.approx(6.0)


def test_closest_moments_are_whole_and_hold_what_is_likest() -> None:
    seen = look("dog")
    assert (seen.closest[0].start_s, seen.closest[0].end_s) == (8, 11)
    assert seen.closest[0].presence == pytest.approx(0.2)
    spans = [(moment.start_s, moment.end_s) for moment in look("giraffe").closest]
    assert set(spans) <= {(0, 3), (4, 7), (8, 11), (12, 15), (16, 17)}
    assert all(moment.start_s <= moment.peak_s <= moment.end_s for moment in seen.closest)
