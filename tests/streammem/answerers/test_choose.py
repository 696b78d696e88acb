"""Answerers by name."""

import pytest

from streammem.answerers.choose import choose_answerer
from streammem.errors import UsageError
from tests.fakes import stream


def test_the_embedded_answerer_answers() -> None:
    answer = choose_answerer("embedded").answer("Is there a cat?", stream(("cat", 3)))
    assert answer.text.startswith("Yes") and not answer.abstained


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"gpt.*embedded"):
        choose_answerer("gpt")
