"""An entry as it is shown: where it came from, and every merge that led to it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from apps.cli import main
from apps.inspect import MERGES_SHOWN, merge_lines
from memory_banks.settings import MemoryConfig
from memory_banks.tiered import open_memory
from tests.clips import make_clip
from tests.memory_banks.streams import ENCODER, TIGHT, fill
from tests.models import needs_models

Capture = pytest.CaptureFixture[str]


def memory_at(path: Path, *, frames: int, config: MemoryConfig = TIGHT) -> Path:
    with open_memory(path, encoder=ENCODER, config=config, mode="write") as memory:
        fill(memory, frames)
    return path


def test_chains_stay_in_line_and_branches_are_indented() -> None:
    made_of = {9: (8, 7), 8: (6, 5), 6: (2, 1), 7: (4, 3)}
    assert list(merge_lines(9, made_of)) == [
        "#9 = #8 + #7",
        "  #8 = #6 + #5",
        "  #6 = #2 + #1",
        "  #7 = #4 + #3",
    ]


def test_every_known_merge_has_a_line(tmp_path: Path) -> None:
    with open_memory(memory_at(tmp_path / "m.smem", frames=300)) as memory:
        found = max(
            (memory.inspect(entry.entry_id) for entry in memory.entries()),
            key=lambda one: len(one.made_of),
        )
    lines = list(merge_lines(found.entry.entry_id, found.made_of))
    ids = [[int(one) for one in re.findall(r"#(\d+)", line)] for line in lines]
    assert {first: tuple(rest) for first, *rest in ids} == found.made_of
    assert len(lines) == len(found.made_of) > 2


def test_an_entry_in_words_and_as_data(tmp_path: Path, capsys: Capture) -> None:
    path = memory_at(tmp_path / "m.smem", frames=300)
    with open_memory(path, mode="write") as memory:
        entry = max(memory.entries(), key=lambda one: one.count)
        memory.pin([entry.entry_id])
        memory.recall(entry.key, k=1)
    assert main(["inspect", str(path), f"#{entry.entry_id}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["made_of"][str(entry.entry_id)] == list(entry.merged_from)
    assert (shown["start_s"], shown["end_s"], shown["mean_s"], shown["count"]) == (
        entry.start_s,
        entry.end_s,
        entry.mean_s,
        entry.count,
    )
    assert (shown["uri"], shown["tier"], shown["pinned"], shown["usage"]) == (
        "/videos/a.mp4",
        "long_term",
        True,
        entry.usage + 1,
    )
    assert shown["shows"] == []
    assert main(["inspect", str(path), str(entry.entry_id)]) == 0
    said = capsys.readouterr()
    for part in (
        f"frames   {entry.count}, at ",
        "source   /videos/a.mp4",
        "tier     long-term",
        "pinned   yes",
        f"    #{entry.entry_id} = #{entry.merged_from[0]}",
        "merges before these are no longer in the log",
    ):
        assert part in said.out
    assert "what it shows is not said: its encoder is not installed" in said.err


def test_a_frame_as_it_came(tmp_path: Path, capsys: Capture) -> None:
    path = memory_at(tmp_path / "m.smem", frames=2)
    assert main(["inspect", str(path), "1"]) == 0
    assert "made of  one frame, as it came" in capsys.readouterr().out


def test_a_long_ancestry_is_cut_short(tmp_path: Path, capsys: Capture) -> None:
    config = replace(TIGHT, budget_mb=0.5, consolidation="merge", eviction_log=1000)
    path = memory_at(tmp_path / "m.smem", frames=900, config=config)
    with open_memory(path) as memory:
        merges = {one.entry_id: memory.inspect(one.entry_id).made_of for one in memory.entries()}
    number, made_of = max(merges.items(), key=lambda item: len(item[1]))
    assert main(["inspect", str(path), str(number)]) == 0
    said = capsys.readouterr().out
    assert said.count(" = ") == MERGES_SHOWN
    assert f"and {len(made_of) - MERGES_SHOWN} more merges; --json lists them all" in said


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("0", "entry 0 is not in the memory; it may have been merged or let go since"),
        ("#77", "entry 77 is not in the memory"),
    ],
)
def test_an_entry_that_is_not_there(
    number: str, message: str, tmp_path: Path, capsys: Capture
) -> None:
    path = memory_at(tmp_path / "m.smem", frames=2)
    assert main(["inspect", str(path), number]) == 2
    assert message in capsys.readouterr().err


def test_what_is_no_number(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["inspect", "m.smem", "first"])
    assert leaving.value.code == 2
    assert "an entry is a number like 12, got 'first'" in capsys.readouterr().err


@needs_models
def test_what_an_entry_shows_is_said(tmp_path: Path, capsys: Capture) -> None:
    clip, path = make_clip(tmp_path / "clip.mp4", seconds=2), tmp_path / "m.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["inspect", str(path), "1", "--json"]) == 0
    shows = json.loads(capsys.readouterr().out)["shows"]
    assert len(shows) == 3 and 0 < shows[0]["probability"] <= 1
    assert main(["inspect", str(path), "1"]) == 0
    assert f"shows    {shows[0]['name']}" in capsys.readouterr().out
