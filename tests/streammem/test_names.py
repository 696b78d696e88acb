"""Times and model names as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammem.errors import UsageError
from streammem.names import ModelName, format_time, parse_model, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("95", 95.0),
        ("95.5", 95.5),
        ("95.5s", 95.5),
        ("95 s", 95.0),
        ("1:35", 95.0),
        ("01:35.250", 95.25),
        ("00:01:35.500", 95.5),
        ("2:00:00", 7200.0),
        ("90:00", 5400.0),
        ("2min", 120.0),
        ("1.5 hours", 5400.0),
        (" 10 sec ", 10.0),
    ],
)
def test_a_time_is_read_in_each_form(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "1:60", "1:60:00", "1:2:3:4", "5 lightyears"])
def test_a_wrong_time_names_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"00:01:35\.500"):
        parse_time(text)


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (0.0, 0, "0:00"),
        (95.4, 0, "1:35"),
        (59.6, 0, "1:00"),
        (3599.96, 1, "1:00:00.0"),
        (95.5, 3, "1:35.500"),
        (7200.0, 0, "2:00:00"),
        (-3.0, 0, "-0:03"),
    ],
)
def test_a_time_is_written_short(seconds: float, decimals: int, text: str) -> None:
    assert format_time(seconds, decimals=decimals) == text


@given(st.floats(min_value=0, max_value=1e6))
def test_a_written_time_is_read_back(seconds: float) -> None:
    assert parse_time(format_time(seconds, decimals=3)) == pytest.approx(seconds, abs=6e-4)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("embedded", ModelName("embedded")),
        (
            "openclip:ViT-B-32/laion2b_s34b_b79k",
            ModelName("openclip", "ViT-B-32/laion2b_s34b_b79k"),
        ),
        ("hf:org/name@abc123", ModelName("hf", "org/name", "abc123")),
    ],
)
def test_a_model_name_is_taken_apart_and_put_together(text: str, name: ModelName) -> None:
    assert parse_model(text) == name
    assert str(name) == text


@pytest.mark.parametrize("text", ["", "Embedded", "openclip:", ":x", "a b"])
def test_a_wrong_model_name_names_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match="openclip:NAME/TAG"):
        parse_model(text)
