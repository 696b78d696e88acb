"""What phrases name."""

import pytest

from streammem.answerers.things import narrower, separate


@pytest.mark.parametrize(
    ("phrase", "things"),
    [
        ("cat", ["cat"]),
        ("cup of coffee", ["cup of coffee"]),
        ("cat or a dog", ["cat", "dog"]),
        ("cats or dogs", ["cats", "dogs"]),
        ("cat and a dog", ["cat", "dog"]),
        ("cats and dogs", ["cats", "dogs"]),
        ("cat, a dog or the coins", ["cat", "dog", "coins"]),
        ("black and white cat", ["black and white cat"]),
        ("man with a hat or a cap", ["man with a hat or a cap"]),
        ("orange", ["orange"]),
    ],
)
def test_things_side_by_side(phrase: str, things: list[str]) -> None:
    assert separate(phrase) == things


@pytest.mark.parametrize(
    ("phrase", "forms"),
    [
        ("cat", ["cat"]),
        ("red cat", ["red cat", "cat"]),
        ("red cat on a sofa", ["red cat on a sofa", "red cat", "cat"]),
        ("cup of coffee", ["cup of coffee"]),
        ("is the cat black", ["is the cat black"]),
        ("man holding a sign", ["man holding a sign", "man"]),
    ],
)
def test_fewer_words(phrase: str, forms: list[str]) -> None:
    assert narrower(phrase) == forms
