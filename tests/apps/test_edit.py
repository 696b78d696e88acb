"""Changing a memory and looking into it from the command line, on a small real memory."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apps.cli import main
from memory_banks.tiered import open_memory
from tests.clips import make_clip
from tests.memory_banks.streams import ENCODER, TIGHT, fill, stream
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


def test_pinned_entries_are_listed_until_they_are_unpinned(path: Path, capsys: Capture) -> None:
    first = str(listed(path, capsys)[0]["entry"])
    assert main(["pin", str(path), first]) == 0
    assert listed(path, capsys)[0]["pinned"] is True
    assert main(["memories", str(path), "--entries"]) == 0
    said = capsys.readouterr().out
    assert ", pinned" in said and f"  pinned #{first}\n" in said
    assert main(["unpin", str(path), f"#{first}", first]) == 0
    assert "unpinned 1 entry\n" in capsys.readouterr().err
    assert listed(path, capsys)[0]["pinned"] is False
    assert main(["memories", str(path)]) == 0
    assert "  pinned" not in capsys.readouterr().out


def test_what_leaves_once_it_is_unpinned_is_said(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "m.smem"
    config = replace(TIGHT, consolidation="last_frames")
    with open_memory(path, encoder=ENCODER, config=config, mode="write") as memory:
        fill(memory, 30)
        number = memory.entries()[1].entry_id
        memory.pin([number])
        for frame, features in stream(270, start_s=30.0):
            memory.push(frame, features)
    assert main(["unpin", str(path), str(number)]) == 0
    assert "unpinned 1 entry; 1 entry left at once for want of room" in capsys.readouterr().err


def test_more_pins_than_half_of_the_room_are_refused(path: Path, capsys: Capture) -> None:
    numbers = [str(one["entry"]) for one in listed(path, capsys)]
    assert main(["pin", str(path), *numbers]) == 2
    assert "unpin some, or raise the budget" in capsys.readouterr().err
    assert not any(one["pinned"] for one in listed(path, capsys))


def test_a_list_says_how_room_is_made_and_searched(path: Path, capsys: Capture) -> None:
    count = len(listed(path, capsys))
    assert main(["memories", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"consolidation surprise; search exact over {count} entries" in said


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
    "words",
    [
        ["--entry", "1", "--from", "3"],
        ["--query", "cat", "--to", "3"],
        ["--query", "cat", "--entry", "1"],
        ["--yes"],
    ],
)
def test_one_way_of_forgetting_at_a_time(words: list[str], path: Path, capsys: Capture) -> None:
    assert main(["forget", str(path), *words]) == 2
    assert "say what to forget, in one way" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--query", "  "], "the query is empty; say in words what to forget"),
        (["--entry", "1", "--source", "a"], "give --entry without --source"),
        (["--entry", "999"], "entry 999 is not in the memory"),
        (["--source", "b"], "source 'b' is not known; choose one of a"),
        (["--from", "9", "--to", "8", "--dry-run"], "--to 8 is not after --from 9"),
    ],
)
def test_what_cannot_be_forgotten(
    words: list[str], message: str, path: Path, capsys: Capture
) -> None:
    before = listed(path, capsys)
    assert main(["forget", str(path), *words]) == 2
    assert message in capsys.readouterr().err
    assert listed(path, capsys) == before


def test_a_span_is_listed_before_it_is_forgotten(path: Path, capsys: Capture) -> None:
    before = listed(path, capsys)
    words = ["forget", str(path), "--from", "100", "--to", "290", "--json"]
    assert main([*words, "--dry-run"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert listed(path, capsys) == before
    assert main(words) == 0
    gone = json.loads(capsys.readouterr().out)
    assert gone == would and any("merged of" in one["why"] for one in gone)
    assert len(listed(path, capsys)) == len(before) - len(gone)


@needs_models
def test_what_words_find_is_shown_before_it_is_forgotten(tmp_path: Path, capsys: Capture) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=6)
    path = tmp_path / "m.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    before = listed(path, capsys)
    query = ["test picture", "-k", "1"]
    assert main(["search", str(path), *query]) == 0
    found = capsys.readouterr().out
    forget = ["forget", str(path), "--query", *query]
    assert main(forget) == 0
    said = capsys.readouterr()
    assert said.out.startswith(found) and "would forget" in said.out
    assert "nothing is deleted yet: --yes deletes all of it" in said.err
    assert listed(path, capsys) == before
    assert main([*forget, "--dry-run", "--json"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert listed(path, capsys) == before
    assert main([*forget, "--yes"]) == 0
    assert capsys.readouterr().out.endswith(f"forgot {len(would)} entries\n")
    assert len(listed(path, capsys)) == len(before) - len(would) < len(before)


def test_sure_and_only_asking_at_once_is_wrong_usage(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["forget", "m.smem", "--query", "cat", "--yes", "--dry-run"])
    assert leaving.value.code == 2
    assert "--dry-run: not allowed with argument --yes" in capsys.readouterr().err


def test_a_saved_copy_holds_the_same(path: Path, tmp_path: Path, capsys: Capture) -> None:
    copy = tmp_path / "copy.smem"
    assert main(["save", str(path), "--out", str(copy)]) == 0
    assert listed(copy, capsys) == listed(path, capsys)
    assert main(["save", str(path), "--out", str(copy)]) == 2
    assert "exists; choose another name, or allow overwriting with --force" in (
        capsys.readouterr().err
    )
    assert main(["save", str(path), "--out", str(path), "--force"]) == 2
    assert "is the memory itself" in capsys.readouterr().err
    assert main(["save", str(path), "--out", str(copy), "--force"]) == 0


def test_an_edit_of_a_memory_that_is_not_there_makes_none(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "none.smem"
    assert main(["pin", str(path), "1"]) == 1
    assert "there is no memory at" in capsys.readouterr().err
    assert not path.exists()


@needs_models
def test_a_saved_copy_answers_the_same(tmp_path: Path, capsys: Capture) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=6)
    path, copy = tmp_path / "m.smem", tmp_path / "copy.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    assert main(["save", str(path), "--out", str(copy)]) == 0
    answers = []
    for memory in (path, copy):
        capsys.readouterr()
        assert main(["ask", str(memory), "describe the video", "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out) | {"seconds": 0})
    assert answers[0] == answers[1]
