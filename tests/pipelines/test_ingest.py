"""What an ingest takes in, commits, resumes and stops."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.tiered import Memory, open_memory
from pipelines.ingest import (
    IngestConfig,
    Stop,
    batched,
    fingerprint,
    ingest,
    next_target_s,
    take_in,
)
from streammem.errors import SourceError, StoreMismatch
from streammem.records import Features, Frame, Gap, SourceInfo, Vector
from streammem.sources.sampling import SamplingConfig
from tests.clips import make_clip


class ColourEncoder:
    """Encodes a frame as its mean colour; the key and the visual key are the same."""

    name, revision, dim, visual_dim = "colour", "1", 3, 3

    def encode(self, frames: list[Frame]) -> list[Features]:
        made = []
        for frame in frames:
            colour = frame.rgb.reshape(-1, 3).mean(0).astype(np.float32) + 1.0
            unit: Vector = colour / np.linalg.norm(colour)
            made.append(Features(unit, unit))
        return made


class BrokenSource:
    """Gives five frames and a gap, then fails."""

    info = SourceInfo("broken", "broken", duration_s=10.0)

    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    def __iter__(self) -> Iterator[Frame]:
        for second in range(5):
            if second == 3:
                self.gaps.append(Gap("broken", 2.0, 3.0, "noise"))
            yield Frame("broken", second, float(second), np.full((8, 8, 3), second, np.uint8))
        raise SourceError("the cable is out")

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=20)


def memory_at(path: Path | None) -> Memory:
    return open_memory(
        path, encoder=ColourEncoder(), config=MemoryConfig(budget_mb=4), mode="write"
    )


def taken(memory: Memory) -> list[tuple[float, float, int]]:
    return [(entry.start_s, entry.end_s, entry.count) for entry in memory.entries()]


def test_every_sampled_second_is_taken_in_once(clip: Path) -> None:
    with memory_at(None) as memory:
        steps = list(ingest(clip, ColourEncoder(), memory))
        assert [count for _, _, count in taken(memory)] == [1] * 20
        assert [start for start, _, _ in taken(memory)] == [float(s) for s in range(20)]
        assert steps[-1].frames == 20
        assert steps[-1].time_s == 19.0
        assert steps[-1].duration_s == pytest.approx(20.0, abs=0.3)
        assert list(ingest(clip, ColourEncoder(), memory)) == []


def test_a_stopped_ingest_goes_on_where_it_was(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with memory_at(path) as memory:
        stop = Stop()
        steps = ingest(clip, ColourEncoder(), memory, config=IngestConfig(batch_size=3), stop=stop)
        assert next(steps).frames == 3
        stop.ask()
        list(steps)
        assert not memory.sources()[0].finished
        assert len(taken(memory)) < 20
    with memory_at(path) as memory:
        list(ingest(clip, ColourEncoder(), memory))
        assert taken(memory) == [(float(s), float(s), 1) for s in range(20)]
        assert memory.sources()[0].finished


def test_what_came_before_a_failure_is_kept_with_its_gap(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with memory_at(path) as memory:
        source = BrokenSource()
        memory.begin_source(source.info, fingerprint="f", sampling_fps=1.0)
        with pytest.raises(SourceError, match="the cable is out"):
            list(take_in(source, ColourEncoder(), memory, config=IngestConfig(batch_size=2)))
    with open_memory(path, mode="read") as memory:
        assert len(taken(memory)) == 4
        assert [gap.reason for gap in memory.gaps()] == ["noise"]
        assert not memory.sources()[0].finished


def test_another_file_of_the_same_name_is_not_mixed_in(clip: Path, tmp_path: Path) -> None:
    other = make_clip(tmp_path / clip.name, seconds=3)
    with memory_at(None) as memory:
        list(ingest(clip, ColourEncoder(), memory))
        with pytest.raises(StoreMismatch, match=clip.name):
            list(ingest(other, ColourEncoder(), memory))
        list(ingest(other, ColourEncoder(), memory, source_id="other"))
        assert [record.source_id for record in memory.sources()] == [clip.name, "other"]


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a" * 10)
    two.write_bytes(b"a" * 9 + b"b")
    marks = [fingerprint(SourceInfo("x", str(path))) for path in (one, two, one)]
    assert marks[0] == marks[2] != marks[1]
    assert fingerprint(SourceInfo("cam", "0", live=True)) == "live"


@pytest.mark.parametrize(
    ("last_s", "fps", "target_s"),
    [(0.0, 1.0, 1.0), (4.04, 1.0, 5.0), (0.9999999, 1.0, 2.0), (3.0, 0.5, 4.0), (0.3, 10.0, 0.4)],
)
def test_the_next_target_is_the_first_after_the_last_frame(
    last_s: float, fps: float, target_s: float
) -> None:
    assert next_target_s(last_s, SamplingConfig(fps=fps)) == pytest.approx(target_s)


def test_every_frame_sampling_goes_on_right_after_the_last() -> None:
    assert 7.0 < next_target_s(7.0, SamplingConfig(fps=0)) < 7.0001


def test_batches_keep_the_order_and_the_rest() -> None:
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batched([], 3)) == []


def test_the_identity_of_the_fake_is_that_of_an_encoder() -> None:
    assert EncoderIdentity("colour", "1", 3, 3).dim == ColourEncoder.dim
