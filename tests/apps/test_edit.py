"""Changing a memory and looking into it from the command line, on a small real memory."""

import json
from pathlib import Path

import pytest

from apps.cli import main
from memory_banks.tiered import open_memory
from tests.clips import make_clip
from tests.memory_banks.streams import ENCODER, TIGHT, fill
from tests.models import needs_models

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory in which entries have merged."""
    found = tmp_path / "m.smem"
    with open_memory(found, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 300)
    return found


def listed(path: Path, capsys: Capture) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["memories", str(path), "--entries", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    entries: list[dict[str, object]] = found["entries"]
    return entries


def test_an_entry_tells_what_it_was_made_of(path: Path, capsys: Capture) -> None:
    entry = max(listed(path, capsys), key=lambda one: one["count"])
    number = str(entry["entry"])
    assert main(["inspect", str(path), number, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["made_of"][number] == entry["merged_from"]
    assert (shown["count"], shown["uri"]) == (entry["count"], "/videos/a.mp4")
    assert main(["inspect", str(path), number]) == 0
    assert f"#{number} = #{entry['merged_from'][0]}" in capsys.readouterr().out
    assert main(["inspect", str(path), "0"]) == 2
    assert "entry 0 is not in the memory" in capsys.readouterr().err


def test_pinned_entries_are_listed_until_they_are_unpinned(path: Path, capsys: Capture) -> None:
    first = str(listed(path, capsys)[0]["entry"])
    assert main(["pin", str(path), first]) == 0
    assert listed(path, capsys)[0]["pinned"] is True
    assert main(["memories", str(path), "--entries"]) == 0
    assert ", pinned" in capsys.readouterr().out
    assert main(["unpin", str(path), first]) == 0
    assert listed(path, capsys)[0]["pinned"] is False


def test_entries_are_forgotten_by_number_and_listed_before(path: Path, capsys: Capture) -> None:
    before = listed(path, capsys)
    numbers = [str(one["entry"]) for one in before[:2]]
    assert main(["forget", str(path), "--entry", *numbers, "--dry-run"]) == 0
    assert "would forget 2 entries" in capsys.readouterr().out
    assert listed(path, capsys) == before
    assert main(["forget", str(path), "--entry", *numbers, "--json"]) == 0
    gone = json.loads(capsys.readouterr().out)
    assert [str(one["entry"]) for one in gone] == numbers
    assert listed(path, capsys) == before[2:]


@pytest.mark.parametrize(
    "words", [["--entry", "1", "--from", "3"], ["--query", "cat", "--to", "3"], ["--yes"]]
)
def test_one_way_of_forgetting_at_a_time(words: list[str], path: Path, capsys: Capture) -> None:
    assert main(["forget", str(path), *words]) == 2
    assert "say what to forget, in one way" in capsys.readouterr().err


@needs_models
def test_what_words_find_is_shown_before_it_is_forgotten(tmp_path: Path, capsys: Capture) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=6)
    path = tmp_path / "m.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    before = listed(path, capsys)
    assert main(["forget", str(path), "--query", "test picture", "-k", "1"]) == 0
    said = capsys.readouterr().out
    assert "would forget" in said and "--yes" in said
    assert listed(path, capsys) == before
    assert main(["forget", str(path), "--query", "test picture", "-k", "1", "--yes"]) == 0
    assert len(listed(path, capsys)) < len(before)


def test_a_saved_copy_holds_the_same(path: Path, tmp_path: Path, capsys: Capture) -> None:
    copy = tmp_path / "copy.smem"
    assert main(["save", str(path), "--out", str(copy)]) == 0
    assert listed(copy, capsys) == listed(path, capsys)
    assert main(["save", str(path), "--out", str(copy)]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["save", str(path), "--out", str(copy), "--force"]) == 0


def test_an_edit_of_a_memory_that_is_not_there_makes_none(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "none.smem"
    assert main(["pin", str(path), "1"]) == 1
    assert "there is no memory at" in capsys.readouterr().err
    assert not path.exists()
