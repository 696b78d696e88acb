"""The page and the picture: complete, self-contained, and safe with any text."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from apps.report import write_report
from apps.timeline import TIER_COLOURS, draw_timeline
from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.tiered import Memory, open_memory
from streammem.errors import StreamMemError
from streammem.records import Answer, Evidence, Features, Frame, MemoryEntry, SourceInfo, Tier


def entry(number: int, tier: Tier) -> MemoryEntry:
    key = np.array([1.0], np.float32)
    return MemoryEntry(number, "a", number * 10.0, number * 10.0 + 10.0, 0.0, 1, key, key, tier)


def jpeg(colour: tuple[int, int, int]) -> bytes:
    return cv2.imencode(".jpg", np.full((90, 160, 3), colour, np.uint8))[1].tobytes()


def test_the_timeline_shows_tiers_and_evidence_where_they_are(tmp_path: Path) -> None:
    entries = [entry(0, "long_term"), entry(1, "working"), entry(2, "sensory")]
    evidence = Evidence(1, "a", 10.0, 20.0, 0.5, 15.0)
    path = tmp_path / "t.png"
    draw_timeline(
        path, entries, [("q", [evidence])], title="t", thumbnail_of=lambda _: jpeg((255, 0, 0))
    )
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    middles = []
    for colour in (*TIER_COLOURS.values(), "#D55E00"):
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        rows = np.abs(pixels[: pixels.shape[0] - 50] - wanted).sum(2) < 6
        assert rows.any(), colour
        middles.append(np.argwhere(rows)[:, 1].mean())
    sensory, working, long_term, found = middles
    assert long_term < working < sensory
    assert found == pytest.approx(working, abs=3)
    assert (np.abs(pixels - [0, 0, 254]).sum(2) < 12).any()


def test_an_empty_memory_has_a_timeline_too(tmp_path: Path) -> None:
    path = tmp_path / "t.png"
    draw_timeline(path, [], [], title="nothing", thumbnail_of=lambda _: None)
    with Image.open(path) as picture:
        assert picture.width == 1280


class Named:
    name, revision = "fake", "r1"


@pytest.fixture
def memory() -> Memory:
    identity = EncoderIdentity("fake", "r1", 1, 1)
    memory = open_memory(None, encoder=identity, config=MemoryConfig(budget_mb=4), mode="write")
    memory.begin_source(SourceInfo("a", "a"), fingerprint="f", sampling_fps=1.0)
    unit = np.ones(1, np.float32)
    memory.push(Frame("a", 0, 0.0, np.zeros((90, 160, 3), np.uint8)), Features(unit, unit))
    return memory


def test_the_page_needs_nothing_and_escapes_everything(memory: Memory, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    moment = Evidence(1, "a", 0.0, 1.0, 0.5, 0.0, label="<b>cat</b>", thumbnail=jpeg((0, 255, 0)))
    answer = Answer("<script>alert(1)</script> & more", (moment,), False, "rules", 7, 0.1)
    write_report(
        page,
        title="$title <x>",
        memory=memory,
        answers=[("is 1 < 2?", answer)],
        encoder=Named(),
        truths=["<i>yes</i>"],
    )
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "<b>cat" not in text and "<i>yes" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    assert "$title &lt;x&gt;" in text
    assert {source[:11] for source in re.findall(r'(?:src|href)="([^"]*)"', text)} == {
        "data:image/"
    }
    assert "encoder_revision r1" in text and "seed 7" in text
    assert page.with_suffix(".png").exists()


def test_a_page_that_cannot_be_written_says_so(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(StreamMemError, match="cannot be written"):
        write_report(
            tmp_path / "no" / "report.html", title="t", memory=memory, answers=[], encoder=Named()
        )
