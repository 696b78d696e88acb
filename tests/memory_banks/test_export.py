"""Exports hold what the memory holds, in forms that others read."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from memory_banks.export import COLUMNS, export_memory
from memory_banks.tiered import open_memory
from streammem.errors import StoreError, UsageError
from streammem.records import Gap
from tests.memory_banks.streams import DIM, ENCODER, TIGHT, fill


@pytest.fixture
def memory():
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 100, source_id="kitchen, left")
        memory.add_gap(Gap("kitchen, left", 100.0, 103.5, "lost"))
        yield memory


def test_json_holds_entries_sources_gaps_and_origin(memory, tmp_path: Path) -> None:
    export_memory(memory, tmp_path / "m.json")
    content = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert content["metadata"] == memory.metadata()
    assert content["metadata"]["seed"] == 0
    assert content["gaps"][0]["end_s"] == 103.5
    assert content["sources"][0]["uri"] == "/videos/kitchen, left.mp4"
    for row, entry in zip(content["entries"], memory.entries(), strict=True):
        assert (row["start_s"], row["count"]) == (entry.start_s, entry.count)
        assert tuple(row["merged_from"]) == entry.merged_from
    assert content["entries"][-1]["end"] == "1:39.000"


def test_csv_has_one_line_for_each_entry(memory, tmp_path: Path) -> None:
    export_memory(memory, tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["entry_id"]) for row in rows] == [e.entry_id for e in memory.entries()]
    assert sum(int(row["count"]) for row in rows) == 100
    assert {row["source_id"] for row in rows} == {"kitchen, left"}


def test_npz_holds_the_features_and_needs_no_pickle(memory, tmp_path: Path) -> None:
    export_memory(memory, tmp_path / "m.npz")
    entries = memory.entries()
    with np.load(tmp_path / "m.npz", allow_pickle=False) as content:
        assert content["key"].dtype == np.float16
        assert np.array_equal(content["key"], [entry.key for entry in entries])
        assert np.array_equal(content["visual"], [entry.visual for entry in entries])
        assert np.array_equal(content["mean_s"], [entry.mean_s for entry in entries])
        assert content["tier"].tolist() == [entry.tier for entry in entries]
        for row, entry in zip(content["merged_from"], entries, strict=True):
            assert tuple(row[row >= 0]) == entry.merged_from
        assert json.loads(str(content["metadata"])) == memory.metadata()


@pytest.mark.parametrize("ending", ["json", "csv", "npz"])
def test_an_empty_memory_exports_too(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"m.{ending}"
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        export_memory(memory, out)
    if ending == "npz":
        with np.load(out, allow_pickle=False) as content:
            assert content["key"].shape == (0, DIM)
    assert out.stat().st_size > 0


def test_a_file_that_exists_is_kept_unless_forced(memory, tmp_path: Path) -> None:
    out = tmp_path / "m.txt"
    out.write_text("mine")
    with pytest.raises(UsageError, match="exists; choose another name, or allow overwriting"):
        export_memory(memory, out, "csv")
    assert out.read_text() == "mine"
    export_memory(memory, out, "csv", force=True)
    assert out.read_text().startswith("entry_id,")
    assert [one.name for one in tmp_path.iterdir()] == ["m.txt"]


def test_wrong_forms_and_places_are_refused(memory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="export format 'xml' is not known; choose one of json"):
        export_memory(memory, tmp_path / "m.xml")
    with pytest.raises(StoreError, match=r"export to .* failed: No such file or directory; choose"):
        export_memory(memory, tmp_path / "deeper" / "m.csv")
