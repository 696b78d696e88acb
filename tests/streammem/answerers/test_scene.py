"""A question sees the span that it names, and says what was watched where that is empty."""

import pytest

from streammem.answerers.questions import Question
from streammem.answerers.scene import Scene
from tests.fakes import FakeEncoder, ListView, entry, stream


def seconds_of(scene: Scene) -> list[float]:
    return [entry.start_s for entry in scene.entries]


@pytest.mark.parametrize(
    ("start_s", "end_s", "seconds"),
    [
        (0.0, float("inf"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (3.0, 5.0, [3, 4, 5]),
        (-2.0, float("inf"), [7, 8, 9]),
        (-4.0, -2.0, [5, 6, 7]),
        (-99.0, -8.0, [0, 1]),
        (20.0, 30.0, []),
    ],
)
def test_the_span_of_a_question(start_s: float, end_s: float, seconds: list[float]) -> None:
    view = stream(("cat", 10))
    assert seconds_of(Scene(view, Question("describe", start_s=start_s, end_s=end_s))) == seconds


def test_the_end_is_counted_back_from_what_may_be_seen() -> None:
    view = stream(("cat", 10), at_s=6.0)
    assert seconds_of(Scene(view, Question("describe", start_s=-2.0))) == [4, 5, 6]


def test_shots_do_not_run_from_one_source_into_another() -> None:
    encoder = FakeEncoder()
    one = stream(("cat", 2), encoder=encoder, source_id="a")
    two = stream(("cat", 2), ("dog", 1), encoder=encoder, source_id="b", first_number=9)
    scene = Scene(ListView(one.kept + two.kept, encoder), Question("describe"))
    shots = list(scene.shots_by_source(alike=0.5))
    assert [[len(shot.entries) for shot in part] for part in shots] == [[2], [2, 1]]
    assert scene.source_of(shots[0][0]) == " of a"
    assert scene.span() == "0:00-0:02 of 2 sources"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (Question("at", start_s=60, end_s=120), "nothing was seen in 1:00-2:00; I watched 0:00"),
        (Question("at", start_s=60), "nothing was seen after 1:00; I watched 0:00-0:02"),
    ],
)
def test_nothing_in_the_span(asked: Question, text: str) -> None:
    assert Scene(stream(("cat", 3)), asked).nothing_seen().startswith(text)


@pytest.mark.parametrize(
    ("span_s", "seconds"), [((6.0, 8.0), [5]), ((9.0, 11.0), [10]), ((15.5, 17.0), [])]
)
def test_a_span_between_two_frames_shows_the_one_before(
    span_s: tuple[float, float], seconds: list[float]
) -> None:
    encoder = FakeEncoder()
    rare = tuple(entry(n, "cat", encoder=encoder, start_s=5.0 * n) for n in range(3))
    asked = Question("describe", start_s=span_s[0], end_s=span_s[1])
    assert seconds_of(Scene(ListView(rare, encoder), asked)) == seconds


def test_the_end_is_counted_back_from_the_asked_moment() -> None:
    """What was last seen long ago is not what is seen now."""
    view = stream(("cat", 10), at_s=60.0)
    assert seconds_of(Scene(view, Question("presence", "cat", start_s=-2.0))) == []
