"""What the rules do not claim: nothing faint, nothing absent, nothing of what is yet to come."""

from dataclasses import replace

import pytest

from streammem.answerers.rules import RulesAnswerer
from streammem.records import Answer
from tests.fakes import ListView, stream

DAY = stream(
    ("cat", 5), ("nothing", 5), ("rocket", 5), ("cat", 5), ("dog", 5), ("coins", 5), ("nothing", 30)
)
FAINT = stream(("nothing", 10), ({"dog": 0.2}, 3), ("nothing", 10))


def ask(question: str, view: ListView = DAY) -> Answer:
    return RulesAnswerer().answer(question, view)


def cited(answer: Answer) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in answer.evidence]


@pytest.mark.parametrize(
    "question",
    [
        "When does the dog appear?",
        "How many times is the dog shown?",
        "Is there a dog?",
        "How long is the dog shown?",
        "What comes after the dog?",
        "Does the dog appear before the cat?",
        "Which comes first, the dog or the motorcycle?",
        "dog",
    ],
)
def test_what_may_have_been_seen_is_not_claimed(question: str) -> None:
    answer = ask(question, FAINT)
    assert answer.text.startswith("I am not sure that I saw “dog”; the closest match is at 0:1")
    assert answer.abstained
    assert 10 <= answer.evidence[0].start_s <= 12


@pytest.mark.parametrize(
    "question",
    [
        "When does the giraffe appear?",
        "Is there a giraffe?",
        "How often is a giraffe shown?",
        "What comes after the giraffe?",
    ],
)
def test_what_cannot_be_recognised_is_neither_claimed_nor_denied(question: str) -> None:
    answer = ask(question)
    assert answer.text.startswith("I cannot recognise “giraffe”; the closest match is at ")
    assert answer.abstained and answer.evidence


@pytest.mark.parametrize(
    "question",
    [
        "When does the motorcycle appear?",
        "How long is the motorcycle shown?",
        "What comes after the motorcycle?",
        "Does the motorcycle appear before the cat?",
    ],
)
def test_what_was_not_seen_has_no_time(question: str) -> None:
    answer = ask(question)
    assert answer.text == "I did not see “motorcycle” in 0:00-0:59."
    assert answer.abstained


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Is there a motorcycle?", "No, I saw no motorcycle in 0:00-0:59."),
        ("Is there a rocket between 0:20 and 0:30?", "No, I saw no rocket in 0:20-0:30."),
        ("Is there a dog now?", "No, I saw no dog in 0:57-0:59."),
        ("How often did you see a motorcycle?", "The motorcycle is never seen in 0:00-0:59."),
    ],
)
def test_what_would_have_been_seen_is_denied(question: str, text: str) -> None:
    answer = ask(question)
    assert (answer.text, answer.evidence, answer.abstained) == (text, (), False)


@pytest.mark.parametrize("at_s", [0.0, 9.0, 14.0, 17.0, 59.0])
@pytest.mark.parametrize(
    "question",
    [
        "When does the cat appear?",
        "How many times is the cat shown?",
        "Is there a dog?",
        "How long is the cat shown?",
        "Which comes first, the dog or the rocket?",
        "Does the rocket appear before the dog?",
        "What is shown at 0:12?",
        "What do you see now?",
        "What comes right after the cat?",
        "Describe the video",
        "What was shown 5 seconds ago?",
        "the rocket",
        "Is there a giraffe?",
    ],
)
def test_answers_know_nothing_of_what_comes_later(question: str, at_s: float) -> None:
    """An answer at a moment is that from a memory which ends there."""
    seen = ask(question, replace(DAY, at_s=at_s))
    ended = ask(question, ListView(tuple(e for e in DAY.kept if e.end_s <= at_s), DAY.encoder))
    assert (seen.text, cited(seen), seen.abstained) == (ended.text, cited(ended), ended.abstained)
    assert all(end_s <= at_s for _, end_s in cited(seen))


def test_the_present_moves_with_what_was_seen() -> None:
    then = replace(DAY, at_s=12.0)
    assert ask("What do you see now?", then).text == "Now I see rocket (1.00)."
    assert ask("Is there a rocket now?", then).text == "Yes, at 0:10-0:12."
    assert ask("What was shown 10 seconds ago?", then).text == "In 0:01-0:03 I saw cat (0:01-0:03)."


def test_what_was_seen_last_is_not_seen_long_after() -> None:
    late = ask("What do you see now?", replace(DAY, at_s=200.0))
    assert (late.text, late.abstained) == ("I hold nothing of 3:20; I saw 0:00-0:59.", True)
    assert ask("Is there a cat now?", replace(DAY, at_s=200.0)).abstained


def test_what_comes_next_is_of_the_same_source() -> None:
    encoder = DAY.encoder
    door = stream(("cat", 3), ("dog", 3), source_id="door")
    yard = stream(("cat", 8), ("rocket", 4), source_id="yard", first_number=len(door.kept))
    view = ListView((*door.kept, *yard.kept), encoder)
    answer = ask("What comes after the cat?", view)
    assert cited(answer) == [(3, 5), (0, 2)]
    assert {moment.source_id for moment in answer.evidence} == {"door"}
    assert ask("What comes after the dog?", view).text.startswith("Nothing: the dog at")
