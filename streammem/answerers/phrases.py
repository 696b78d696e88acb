"""The words of answers: spans, lists, and verbs that fit."""

from collections.abc import Sequence

from streammem.names import format_time
from streammem.records import Evidence


def span(start_s: float, end_s: float) -> str:
    """Return a span of time, one time where both ends round to the same second."""
    start, end = format_time(start_s), format_time(end_s)
    return start if start == end else f"{start}-{end}"


def times(moments: Sequence[Evidence], *, several: bool, most: int = 8) -> str:
    """Return when moments are; `several` names the source of each."""
    said = [
        span(moment.start_s, moment.end_s) + (f" of {moment.source_id}" if several else "")
        for moment in moments[:most]
    ]
    if len(moments) > most:
        said.append(f"{len(moments) - most} more")
    return listed(said)


def listed(words: Sequence[str]) -> str:
    """Return words as a list: a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def verb(subject: str, singular: str, plural: str) -> str:
    """Return the verb that fits `subject`."""
    head = subject.split(" of ")[0].split()[-1] if subject.strip() else ""
    is_plural = head.endswith("s") and not head.endswith(("ss", "us", "is"))
    return plural if is_plural else singular


def counted(number: int) -> str:
    """Return how often: once, twice, 3 times."""
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def sentence(text: str) -> str:
    """Return `text` with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
