"""Multiple choice: an option as given, or an abstention."""

import pytest

from pipelines.options import _bare, _says


@pytest.mark.parametrize(
    ("option", "bare"),
    [("A. a cat", "a cat"), ("(B) two", "two"), ("C: red", "red"), ("Apple", "Apple")],
)
def test_an_option_is_read_without_its_letter(option: str, bare: str) -> None:
    assert _bare(option) == bare


@pytest.mark.parametrize(
    ("text", "option", "said"),
    [
        ("Yes, at 0:10-0:14.", "yes", True),
        ("The cat is seen twice", "twice", True),
        ("The catalogue", "cat", False),
        ("No, I saw none", "no", True),
        ("I saw nothing", "no", False),
        ("at 1:05", "1:05", True),
        ("at 11:05", "1:05", False),
    ],
)
def test_an_option_is_said_only_as_whole_words(text: str, option: str, said: bool) -> None:
    assert _says(text, option) is said
