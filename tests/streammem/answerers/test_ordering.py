"""First, last, before and after: with ties, with things shown again, across sources."""

import pytest

from streammem.answerers.rules import RulesAnswerer
from streammem.records import Answer
from tests.fakes import FakeEncoder, ListView, stream

TOGETHER = stream(("rocket", 2), ({"cat": 0.5, "dog": 0.5}, 3), ("coins", 2))
AGAIN = stream(("cat", 3), ("dog", 3), ("cat", 3), ("coins", 1))


def ask(question: str, view: ListView) -> Answer:
    return RulesAnswerer().answer(question, view)


def cited(answer: Answer) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in answer.evidence]


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("Which comes first, the cat or the dog?", "Neither"),
        ("Which comes last, the cat or the dog?", "Neither"),
        ("Does the cat appear before the dog?", "No"),
        ("Does the dog appear before the cat?", "No"),
        ("Is the cat shown after the dog?", "No"),
    ],
)
def test_what_appears_together_is_in_no_order(question: str, reply: str) -> None:
    answer = ask(question, TOGETHER)
    assert answer.text.startswith(f"{reply}, both at once: the ")
    assert cited(answer) == [(2, 4), (2, 4)]
    assert not answer.abstained


def test_what_is_shown_again_comes_after_too() -> None:
    answer = ask("Is there any cat after the dog?", AGAIN)
    assert answer.text == (
        "Yes, though not at first: the cat at 0:00-0:02 and 0:06-0:08, the dog at 0:03-0:05."
    )
    assert cited(answer) == [(0, 2), (6, 8), (3, 5)]


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("Does the cat appear before the dog?", "Yes: the cat at 0:00-0:02, the dog at"),
        ("Does the dog appear before the cat?", "No: the dog at 0:03-0:05, the cat at 0:00"),
        ("Is the dog shown after the cat?", "Yes: the dog at 0:03-0:05, the cat at 0:00"),
        ("Is the dog shown after the coins?", "No: the dog at 0:03-0:05, the coins at 0:09"),
        ("Which comes first, the dog or the cat?", "The cat comes first, at 0:00-0:02; then the"),
        ("Which comes last, the dog or the cat?", "The cat comes last, at 0:06-0:08; before it"),
    ],
)
def test_order(question: str, start: str) -> None:
    assert ask(question, AGAIN).text.startswith(start)


def test_the_source_that_shows_both_decides() -> None:
    encoder = FakeEncoder()
    a = stream(("cat", 2), encoder=encoder, source_id="a")
    b = stream(("dog", 2), ("cat", 2), encoder=encoder, source_id="b", first_number=9)
    answer = ask("Is the cat shown after the dog?", ListView(a.kept + b.kept, encoder))
    assert answer.text == "Yes: the cat at 0:02-0:03 of b, the dog at 0:00-0:01 of b."
    assert {moment.source_id for moment in answer.evidence} == {"b"}
