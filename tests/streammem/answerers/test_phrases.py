"""The words of answers."""

import pytest

from streammem.answerers.phrases import counted, listed, sentence, span, times, verb
from streammem.records import Evidence


def moment(start_s: float, end_s: float, source_id: str = "stream") -> Evidence:
    return Evidence(0, source_id, start_s, end_s, score=1.0, peak_s=start_s)


@pytest.mark.parametrize(
    ("ends", "said"),
    [((0, 5), "0:00-0:05"), ((61.2, 61.4), "1:01"), ((3599, 3600), "59:59-1:00:00")],
)
def test_span(ends: tuple[float, float], said: str) -> None:
    assert span(*ends) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_listed(words: list[str], said: str) -> None:
    assert listed(words) == said


def test_times_name_the_source_where_there_are_several() -> None:
    moments = [moment(1, 2, "door"), moment(5, 5, "yard")]
    assert times(moments, several=True) == "0:01-0:02 of door and 0:05 of yard"
    assert times(moments, several=False) == "0:01-0:02 and 0:05"


def test_times_beyond_the_most_are_counted() -> None:
    moments = [moment(second, second) for second in range(5)]
    assert times(moments, several=False, most=5) == "0:00, 0:01, 0:02, 0:03 and 0:04"
    assert times(moments, several=False, most=3) == "0:00, 0:01, 0:02 and 2 more"


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("cat", "is"),
        ("cats", "are"),
        ("glass", "is"),
        ("bus", "is"),
        ("cups of coffee", "are"),
        ("cup of beans", "is"),
        ("", "is"),
    ],
)
def test_verb(subject: str, said: str) -> None:
    assert verb(subject, "is", "are") == said


def test_counted() -> None:
    assert [counted(number) for number in range(4)] == ["never", "once", "twice", "3 times"]


def test_sentence() -> None:
    assert sentence("yes, at 0:01") == "Yes, at 0:01."
    assert sentence("I saw it!") == "I saw it!"
