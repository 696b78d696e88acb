"""Answers by rules say what the records say, in words a person would use, and nothing more."""

from dataclasses import replace

import pytest

from streammem.answerers.rules import RulesAnswerer
from streammem.errors import UsageError
from streammem.records import Answer
from tests.fakes import FakeEncoder, ListView, stream

FAINT = {"cat": 0.2, "rocket": 0.6}
DARK = {"dog": 0.4, "rocket": 0.3, "coins": 0.3}
SHOWN = (
    ("rocket", 4),  # 0:00-0:03
    ("cat", 3),  # 0:04-0:06
    ("cup of coffee", 5),  # 0:07-0:11
    ("motorcycle", 2),  # 0:12-0:13
    ("cat", 4),  # 0:14-0:17
    ("coins", 2),  # 0:18-0:19
)


def ask(question: str, view: ListView | None = None) -> Answer:
    return RulesAnswerer().answer(question, view or stream(*SHOWN))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("When does the cat appear?", "The cat is seen twice, at 0:04-0:06 and 0:14-0:17."),
        ("When is the rocket shown?", "The rocket is seen at 0:00-0:03."),
        ("When are the coins shown?", "The coins are seen at 0:18-0:19."),
        ("When does the cat first appear?", "The cat is first seen at 0:04-0:06."),
        ("When does the second cat appear?", "The cat is seen for the second time at 0:14-0:17."),
        (
            "What comes after the last cat?",
            "Right after the cat (0:14-0:17) I see coins (1.00) at 0:18-0:19.",
        ),
        (
            "What comes before the second cat?",
            "Right before the cat (0:14-0:17) I see motorcycle (1.00) at 0:12-0:13.",
        ),
        ("When did you last see the cat?", "The cat is last seen at 0:14-0:17."),
        ("a cup of coffee", "“cup of coffee” is seen at 0:07-0:11."),
        ("How many times is the cat shown?", "The cat is seen twice: at 0:04-0:06 and 0:14-0:17."),
        ("How often is the rocket shown?", "The rocket is seen once: at 0:00-0:03."),
        ("How many times does a dog appear?", "The dog is never seen in 0:00-0:19."),
        ("Is there a cat?", "Yes, at 0:04-0:06 and 0:14-0:17."),
        ("Is there a dog?", "No, I saw no dog in 0:00-0:19."),
        ("Is there a cat in the first 3 seconds?", "No, I saw no cat in 0:00-0:03."),
        ("Is there a cat between 0:10 and 0:15?", "Yes, at 0:14-0:15."),
        ("Was there a rocket in the last 5 seconds?", "No, I saw no rocket in 0:14-0:19."),
        (
            "How long is the cat visible?",
            "The cat is seen for about 7 s in all: at 0:04-0:06 and 0:14-0:17.",
        ),
        ("What is shown at 0:09?", "At 0:09 I see cup of coffee (1.00)."),
        ("What do you see now?", "Now I see coins (1.00)."),
        (
            "What comes right after the rocket?",
            "Right after the rocket (0:00-0:03) I see cat (1.00) at 0:04-0:06.",
        ),
        (
            "What comes before the motorcycle?",
            "Right before the motorcycle (0:12-0:13) I see cup of coffee (1.00) at 0:07-0:11.",
        ),
        (
            "What comes before the rocket?",
            "Nothing: the rocket at 0:00-0:03 is the first I saw.",
        ),
        ("What comes after the coins?", "Nothing: the coins at 0:18-0:19 are the last I saw."),
        (
            "Which comes first, the motorcycle or the rocket?",
            "The rocket comes first, at 0:00-0:03; then the motorcycle at 0:12-0:13.",
        ),
        (
            "Which comes last, the motorcycle or the rocket?",
            "The motorcycle comes last, at 0:12-0:13; before it the rocket at 0:00-0:03.",
        ),
        (
            "Which comes last, the motorcycle or the cat?",
            "The cat comes last, at 0:14-0:17; before it the motorcycle at 0:12-0:13.",
        ),
        (
            "Does the rocket appear before the motorcycle?",
            "Yes: the rocket at 0:00-0:03, the motorcycle at 0:12-0:13.",
        ),
        (
            "Is the rocket shown after the motorcycle?",
            "No: the rocket at 0:00-0:03, the motorcycle at 0:12-0:13.",
        ),
        (
            "Describe the first 5 seconds",
            "In 0:00-0:05 I saw rocket (0:00-0:03) and cat (0:04-0:05).",
        ),
    ],
)
def test_a_sure_answer(question: str, text: str) -> None:
    answer = ask(question)
    assert answer.text == text
    assert not answer.abstained
    assert answer.model == "rules"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("When does the dog appear?", "I did not see “dog” in 0:00-0:19."),
        ("How long is the dog shown?", "I did not see “dog” in 0:00-0:19."),
        (
            "Is there a zebra?",
            "I cannot recognise “zebra”; the closest match is at 0:00-0:03 (rocket).",
        ),
        (
            "How many zebras are there?",
            "I cannot recognise “zebras”; the closest match is at 0:00-0:03 (rocket).",
        ),
        (
            "When does the third cat appear?",
            "The cat is seen only twice, at 0:04-0:06 and 0:14-0:17.",
        ),
        ("What comes after the second rocket?", "The rocket is seen only once, at 0:00-0:03."),
        (
            "Is the red cat asleep?",
            "I cannot recognise “is the red cat asleep”; the closest match is at "
            "0:00-0:03 (rocket).",
        ),
        ("What is shown at 1:00?", "I hold nothing of 1:00; I saw 0:00-0:19."),
        (
            "Is there a cat between 1:00 and 2:00?",
            "Nothing was seen in 1:00-2:00; I watched 0:00-0:19.",
        ),
    ],
)
def test_an_answer_that_abstains(question: str, text: str) -> None:
    answer = ask(question)
    assert answer.text == text
    assert answer.abstained


def test_what_may_be_it_is_listed_but_not_claimed() -> None:
    answer = ask("When does the cat appear?", stream(("rocket", 5), (FAINT, 2), ("rocket", 5)))
    assert answer.text == (
        "I am not sure that I saw “cat”; the closest match is at 0:05-0:06 (rocket)."
    )
    assert answer.abstained
    assert answer.evidence[0].presence == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (
            "Is there a cat or a dog?",
            "Cat: yes, at 0:04-0:06 and 0:14-0:17; dog: no, I saw no dog in 0:00-0:19.",
        ),
        (
            "Are there any coins and a rocket?",
            "Coins: yes, at 0:18-0:19; rocket: yes, at 0:00-0:03.",
        ),
        (
            "When do the rocket and the coins appear?",
            "The rocket is seen at 0:00-0:03; the coins are seen at 0:18-0:19.",
        ),
        (
            "How often are a dog or coins shown?",
            "The dog is never seen in 0:00-0:19; the coins are seen once: at 0:18-0:19.",
        ),
    ],
)
def test_each_of_several_things_is_answered(question: str, text: str) -> None:
    answer = ask(question)
    assert answer.text == text
    assert not answer.abstained


def test_several_things_abstain_only_together() -> None:
    assert ask("Is there a zebra or a lion?").abstained
    mixed = ask("Is there a zebra or a rocket?")
    assert not mixed.abstained
    assert mixed.text.endswith("; rocket: yes, at 0:00-0:03.")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How long is the video?", "I watched 0:00-0:19: about 20 s in all."),
        (
            "How long was the stream between 0:05 and 0:10?",
            "I watched 0:05-0:10: about 6 s in all.",
        ),
    ],
)
def test_how_long_was_watched(question: str, text: str) -> None:
    assert ask(question).text == text


def test_sources_are_watched_side_by_side() -> None:
    assert ask("How long is the video?", two_sources()).text == (
        "I watched 0:00-0:05 of 2 sources: about 11 s in all."
    )


def test_evidence_carries_interval_peak_and_label() -> None:
    brightest = {"cat": 0.9}
    view = stream(("rocket", 2), ({"cat": 0.6}, 2), (brightest, 1), ("rocket", 2))
    (moment,) = ask("When does the cat appear?", view).evidence
    assert (moment.start_s, moment.end_s, moment.peak_s) == (2.0, 4.0, 4.0)
    assert moment.entry_id == 4
    assert moment.label == "cat"
    assert moment.presence == pytest.approx(0.9)
    assert moment.score == pytest.approx(0.9**0.5)


def test_more_words_than_it_knows_are_said_to_be_left_out() -> None:
    assert ask("When does the red motorcycle appear?").text == (
        "The motorcycle (all that I can tell of “red motorcycle”) is seen at 0:12-0:13."
    )
    assert ask("Is there a dog with a hat?").text == (
        "No, I saw no dog (all that I can tell of “dog with a hat”) in 0:00-0:19."
    )
    assert ask("Is there a cat on a sofa?").text.startswith("Yes, the cat (all that I can tell")


def test_a_picture_of_nothing_known_is_not_named() -> None:
    view = stream(("cat", 3), (DARK, 3), ("cat", 3))
    answer = ask("What is shown at 4 s?", view)
    assert answer.text == "At 0:04 I see something I cannot name; closest is dog (0.40)."
    assert answer.abstained
    overview = ask("Describe the video", view)
    assert overview.text == "In 0:00-0:08 I saw cat (0:00-0:02); of 3 shots I cannot name 1."
    dark = ask("Describe the video", stream((DARK, 3)))
    assert dark.text == "In 0:00-0:02 I saw 1 shot and nothing that I can name."
    assert dark.abstained
    assert [moment.label for moment in dark.evidence] == ["dog"]


def test_a_single_frame_is_named_only_when_very_sure() -> None:
    unsure = stream(("cat", 2), ({"rocket": 0.6}, 1), ("cat", 2))
    assert ask("What is shown at 2 s?", unsure).abstained
    lasting = stream(("cat", 2), ({"rocket": 0.6}, 2), ("cat", 2))
    assert not ask("What is shown at 2 s?", lasting).abstained


@pytest.mark.parametrize(
    "question",
    [
        "When does the cat appear?",
        "How many times is the cat shown?",
        "What is shown now?",
        "Describe the video",
        "What comes after the rocket?",
        "Which comes first, the motorcycle or the rocket?",
        "Is there a dog?",
        "Was there a cat in the last 4 seconds?",
    ],
)
def test_the_future_changes_nothing(question: str) -> None:
    at_s = 9.0
    now = stream(*SHOWN[:2], ("cup of coffee", 3), at_s=at_s)
    later = stream(*SHOWN, ("dog", 30), ("cat", 5), at_s=at_s)
    assert replace(ask(question, now), seconds=0) == replace(ask(question, later), seconds=0)


def test_an_empty_memory_says_so() -> None:
    answer = ask("Is there a cat?", ListView((), FakeEncoder()))
    assert answer.text == "Nothing was seen."
    assert answer.abstained
    early = stream(("cat", 3), at_s=-1.0)
    assert ask("Is there a cat?", early).text.startswith("Nothing was seen before")


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        ask("  ?  ")


def two_sources() -> ListView:
    encoder = FakeEncoder()
    a = stream(("cat", 2), ("rocket", 3), encoder=encoder, source_id="a.mp4")
    b = stream(("dog", 4), ("cat", 2), encoder=encoder, source_id="b.mp4", first_number=10)
    return ListView(a.kept + b.kept, encoder)


def test_several_sources_are_told_apart() -> None:
    view = two_sources()
    assert ask("When does the cat appear?", view).text == (
        "The cat is seen twice, at 0:00-0:01 of a.mp4 and 0:04-0:05 of b.mp4."
    )
    assert ask("What is shown at 3 s?", view).text == (
        "At 0:03 I see rocket (1.00) of a.mp4 and dog (1.00) of b.mp4."
    )
    assert ask("What comes right before the dog?", view).text == (
        "Nothing: the dog at 0:00-0:03 of b.mp4 is the first I saw."
    )


def test_times_of_different_sources_are_not_compared() -> None:
    view = two_sources()
    answer = ask("Which comes first, the rocket or the dog?", view)
    assert answer.text == (
        "The two are seen in different sources: the rocket at 0:02-0:04 of a.mp4 and the dog at "
        "0:00-0:03 of b.mp4."
    )
    assert answer.abstained
    assert ask("Does the dog appear before the cat?", view).text == (
        "Yes: the dog at 0:00-0:03 of b.mp4, the cat at 0:04-0:05 of b.mp4."
    )


def test_only_one_of_two_is_seen() -> None:
    answer = ask("Which comes first, the cat or the dog?")
    assert answer.text == "I saw only the cat, at 0:04-0:06, and am not sure of “dog”."
    assert ask("Which comes first, the zebra or the cat?").abstained
