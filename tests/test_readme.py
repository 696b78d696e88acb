"""The README tells the truth: its Python runs, its commands exist, its files are there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from apps.cli import build_parser
from tests.clips import make_clip
from tests.models import needs_models

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^\$ (streammem .*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)


@needs_models
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "holiday.mp4", seconds=3)
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], "README.md", "exec"), {})
    assert (tmp_path / "holiday.smem").exists()


def test_the_example_of_the_scan_runs() -> None:
    torch = pytest.importorskip("torch")
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[1], "README.md", "exec"), names)
    assert names["y"].shape == (1, 1, 8, 8, 4, 64)
    assert names["state"].shape == (1, 16, 4, 64, 64)
    assert torch.isfinite(names["state"]).all()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    arguments = build_parser().parse_args(shlex.split(command)[1:])
    assert arguments.run


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_linked_file_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\$ make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
