"""Settings from a file and from flags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from streammem.config import build, read_toml
from streammem.errors import UsageError


@dataclass(frozen=True, slots=True)
class Part:
    fps: float = 1.0
    frames: int = 16
    end_s: float | None = None
    mode: Literal["a", "b"] = "a"
    loud: bool = False


def test_later_layers_win_and_none_is_not_given() -> None:
    assert build(Part, {"fps": 2, "frames": 3}, {"fps": None, "frames": 4}) == Part(2.0, 4)


def test_a_whole_number_fits_a_float_and_stays_one_for_an_int() -> None:
    part = build(Part, {"fps": 2, "end_s": 7})
    assert (type(part.fps), type(part.end_s)) == (float, float)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"speed": 1}, "setting of Part 'speed' is not known; choose one of end_s, fps, frames"),
        ({"frames": "many"}, "frames must be int, got 'many'"),
        ({"frames": 1.5}, "frames must be int, got 1.5"),
        ({"frames": True}, "frames must be int, got True"),
        ({"loud": 1}, "loud must be bool, got 1"),
        ({"mode": "c"}, "mode 'c' is not known; choose one of a, b"),
    ],
)
def test_a_wrong_setting_is_refused(layer: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(Part, layer)


def test_a_settings_file_is_read_by_tables(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[sampling]\nfps = 2\n[memory]\nbudget_mb = 8\n")
    assert read_toml(path) == {"sampling": {"fps": 2}, "memory": {"budget_mb": 8}}


@pytest.mark.parametrize(
    ("content", "message"),
    [("fps = 2", "outside a table"), ("[sampling", "is not TOML"), (None, "cannot be read")],
)
def test_a_broken_settings_file_says_why(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_toml(path)
