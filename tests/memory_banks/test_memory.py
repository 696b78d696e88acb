"""The memory as a whole: sources, recall, causality, gaps, forgetting."""

import math

import numpy as np
import pytest

from memory_banks import schema
from memory_banks.tiered import Memory, MemoryConfig, open_memory
from streammem.errors import StoreMismatch, UsageError
from streammem.records import Eviction, Features, Frame, Gap, SourceInfo
from tests.memory_banks.streams import ENCODER, TIGHT, begin, contents, fill, stream, unit

ROOMY = MemoryConfig(budget_mb=4.0, sensory_frames=4, working_frames=10, thumbnail_px=16)


def pictures_of(memory: Memory) -> list[int]:
    return [frame.index for frame, _ in memory.whole_frames()]


def test_a_frame_passes_through_the_tiers() -> None:
    with open_memory(None, encoder=ENCODER, config=ROOMY) as memory:
        fill(memory, 30)
        tiers = [entry.tier for entry in memory.entries()]
        assert tiers == ["long_term"] * 16 + ["working"] * 10 + ["sensory"] * 4
        assert memory.stats().entries == {"sensory": 4, "working": 10, "long_term": 16}
        assert pictures_of(memory) == [26, 27, 28, 29]


def test_the_same_frames_make_the_same_memory() -> None:
    held = []
    for checkpoint_every in (7, 1000):
        with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
            begin(memory)
            for frame, features in stream(300, seed=3):
                memory.push(frame, features)
                if frame.index % checkpoint_every == 0:
                    memory.checkpoint()
            held.append(contents(memory))
    assert held[0] == held[1]


def test_recall_agrees_with_comparing_every_entry_and_counts_use() -> None:
    rng = np.random.default_rng(1)
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 300)
        entries = memory.entries()
        assert {entry.tier for entry in entries} == {"sensory", "working", "long_term"}
        for by in ("key", "visual"):
            query = unit(rng, ENCODER.dim if by == "key" else ENCODER.visual_dim)
            scores = {entry.entry_id: float(getattr(entry, by) @ query) for entry in entries}
            best = sorted(scores, key=lambda one: -scores[one])[:5]
            found = memory.recall(query, k=5, by=by)
            assert [entry.entry_id for entry, _ in found] == best
            assert [score for _, score in found] == pytest.approx(
                [scores[i] for i in best], abs=1e-6
            )
        assert sum(entry.usage for entry in memory.entries()) == 10.0
        assert found[0][0].usage >= 1.0


def test_scores_are_cosines_even_where_rounding_exceeds_one() -> None:
    with open_memory(None, encoder=ENCODER, config=ROOMY) as memory:
        begin(memory)
        for frame, features in stream(50):
            memory.push(frame, features)
            ((_, score),) = memory.recall(features.key, k=1)
            assert 0.99 < score <= 1.0


def test_a_recall_at_a_time_is_the_same_with_and_without_a_future() -> None:
    queries = [unit(np.random.default_rng(seed), ENCODER.dim) for seed in range(8)]
    answers = []
    for count in (60, 200):
        with open_memory(None, encoder=ENCODER, config=ROOMY) as memory:
            fill(memory, count)
            answers.append(
                [
                    [(entry.start_s, entry.end_s, score) for entry, score in found]
                    for found in (memory.recall(query, k=10, at_s=59.0) for query in queries)
                ]
            )
    assert answers[0] == answers[1]


def test_no_recall_under_pressure_tells_of_the_future() -> None:
    frames = list(stream(300))
    rng = np.random.default_rng(2)
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 300)
        for at_s in (0.0, 17.0, 150.5, 299.0):
            seen = memory.entries(at_s=at_s)
            found = memory.recall(unit(rng, ENCODER.dim), k=500, at_s=at_s)
            assert {entry.entry_id for entry, _ in found} == {entry.entry_id for entry in seen}
            for entry in seen:
                assert entry.end_s <= at_s
                own = [f.key for one, f in frames if entry.start_s <= one.time_s <= entry.end_s]
                assert len(own) == entry.count
                mean = np.mean(own, axis=0)
                assert float(entry.key @ mean) / np.linalg.norm(mean) > 0.8


def test_recall_of_one_source_sees_no_other() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60, source_id="a")
        fill(memory, 60, source_id="b", seed=1)
        query = unit(np.random.default_rng(0), ENCODER.dim)
        found = memory.recall(query, k=500, source_id="b")
        assert {entry.source_id for entry, _ in found} == {"b"}
        assert len(found) == len(memory.entries(source_id="b")) > 0
        assert [e.source_id for e in memory.entries()] == sorted(
            e.source_id for e in memory.entries()
        )
        with pytest.raises(UsageError, match="source 'c' is not known; choose one of a, b"):
            memory.recall(query, k=1, source_id="c")
        with pytest.raises(UsageError, match="k of at least 1, got 0"):
            memory.recall(query, k=0)


@pytest.mark.parametrize("hole", ["gap", "long pause"])
def test_nothing_is_merged_across_a_hole(hole: str) -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        for frame, features in stream(100):
            memory.push(frame, features)
        if hole == "gap":
            memory.add_gap(Gap("a", 99.0, 101.0, "camera gone"))
        later = 102.0 if hole == "gap" else 140.0
        for frame, features in stream(100, seed=1, start_s=later):
            memory.push(frame, features)
        assert memory.stats().evictions["merged"] > 200
        assert [e for e in memory.entries() if e.start_s < 99.5 < e.end_s] == []


def test_sparse_sampling_is_no_hole() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        memory.begin_source(SourceInfo("a", "a"), fingerprint="f", sampling_fps=1 / 60)
        for frame, features in stream(200):
            memory.push(Frame("a", frame.index, 60.0 * frame.time_s, frame.rgb), features)
        assert memory.stats().frames_held == 200


def test_with_nothing_to_merge_the_oldest_entry_goes() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        gone: list[Eviction] = []
        for frame, features in stream(60):
            gone += memory.push(Frame("a", frame.index, 60.0 * frame.time_s, frame.rgb), features)
        assert {eviction.reason for eviction in gone} == {"capacity"}
        assert [eviction.entry_id for eviction in gone] == list(range(1, len(gone) + 1))
        assert memory.stats().frames_held == 60 - len(gone)


def test_times_that_fall_and_unknown_sources_are_refused() -> None:
    frame, features = next(iter(stream(1, start_s=5.0)))
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        with pytest.raises(UsageError, match="source 'a' is not known"):
            memory.push(frame, features)
        begin(memory)
        memory.push(frame, features)
        memory.push(frame, features)
        with pytest.raises(UsageError, match=r"at 4\.0 s comes after one at 5\.0 s"):
            memory.push(Frame("a", 1, 4.0, frame.rgb), features)
        with pytest.raises(UsageError, match="has the time nan"):
            memory.push(Frame("a", 1, math.nan, frame.rgb), features)
        assert memory.stats().frames_seen == 2


@pytest.mark.parametrize("spoilt", [np.zeros(12), np.full(12, np.nan), np.ones(3)])
def test_features_that_are_no_directions_are_refused_whole(spoilt: np.ndarray) -> None:
    frame, features = next(iter(stream(1)))
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        with pytest.raises(ValueError, match="key must be 12 numbers of unit length"):
            memory.push(frame, Features(spoilt.astype(np.float32), features.visual))
        assert (memory.stats().frames_seen, memory.entries()) == (0, [])


def test_a_source_is_taken_up_where_it_stopped_and_another_one_is_refused() -> None:
    info = SourceInfo("a", "/videos/a.mp4")
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        state = memory.begin_source(info, fingerprint="one", sampling_fps=1.0)
        assert (state.last_s, state.finished) == (None, False)
        for frame, features in stream(5):
            memory.push(frame, features)
        memory.finish_source("a")
        state = memory.begin_source(info, fingerprint="one", sampling_fps=1.0)
        assert (state.last_s, state.finished) == (4.0, True)
        other = SourceInfo("a", "/elsewhere/a.mp4")
        with pytest.raises(StoreMismatch, match=r"one; /elsewhere/a\.mp4 has two.*another source"):
            memory.begin_source(other, fingerprint="two", sampling_fps=1.0)
        (record,) = memory.sources()
        assert (record.first_s, record.last_s, record.frames) == (0.0, 4.0, 5)
        assert (record.uri, record.finished) == ("/videos/a.mp4", True)
        with pytest.raises(UsageError, match="sampling must be 0 or more"):
            memory.begin_source(info, fingerprint="one", sampling_fps=-1.0)


def test_forgetting_takes_all_that_overlaps_and_nothing_else() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 200)
        fill(memory, 20, source_id="b", seed=1)
        before = memory.entries()
        hit = {
            e.entry_id for e in before if e.source_id == "a" and e.start_s <= 60 and e.end_s >= 50
        }
        gone = memory.forget(source_id="a", start_s=50.0, end_s=60.0)
        assert {eviction.entry_id for eviction in gone} == hit
        for went in gone:
            inside = went.start_s >= 50.0 and went.end_s <= 60.0
            assert went.why.startswith("inside the span" if inside else "merged of")
        assert {e.entry_id for e in memory.entries()} == {e.entry_id for e in before} - hit
        assert all(memory.thumbnail(one) is None for one in hit)
        assert memory.evictions()[-len(gone) :] == [
            Eviction(went.entry_id, "deleted") for went in gone
        ]
        stats = memory.stats()
        assert stats.frames_held == sum(entry.count for entry in memory.entries())
        assert begin(memory) is None and memory.sources()[0].last_s == 199.0


def test_forgetting_reaches_the_newest_frames_and_their_pictures() -> None:
    with open_memory(None, encoder=ENCODER, config=ROOMY) as memory:
        fill(memory, 30)
        memory.forget(start_s=27.0, end_s=28.0)
        assert pictures_of(memory) == [26, 29]
        for frame, features in stream(10, seed=5, start_s=30.0):
            memory.push(frame, features)
        assert [e.tier for e in memory.entries()][-5:] == ["working"] + ["sensory"] * 4


def test_forgetting_a_whole_source_forgets_that_it_was_there() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 30, source_id="a")
        fill(memory, 30, source_id="b", seed=1)
        memory.add_gap(Gap("a", 30.0, 31.0, "lost"))
        memory.forget(source_id="a")
        assert [record.source_id for record in memory.sources()] == ["b"]
        assert memory.gaps() == []
        assert {entry.source_id for entry in memory.entries()} == {"b"}
        fill(memory, 10, source_id="a", seed=2)
        found = memory.recall(unit(np.random.default_rng(0), ENCODER.dim), k=500, source_id="b")
        assert {entry.source_id for entry, _ in found} == {"b"}
        memory.forget()
        assert (memory.entries(), memory.sources()) == ([], [])


def test_the_log_of_evictions_is_bounded() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 300)
        assert len(memory.evictions()) == TIGHT.eviction_log
        assert memory.evictions(limit=3) == memory.evictions()[-3:]
        assert memory.evictions(limit=0) == []
        assert sum(memory.stats().evictions.values()) > TIGHT.eviction_log


def test_thumbnails_are_there_before_and_after_a_checkpoint() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        before = [memory.thumbnail(entry.entry_id) for entry in memory.entries()]
        memory.checkpoint()
        assert [memory.thumbnail(entry.entry_id) for entry in memory.entries()] == before
        assert all(jpeg is not None and jpeg.startswith(b"\xff\xd8") for jpeg in before)
        assert memory.thumbnail(10**9) is None


def test_gaps_are_kept_once_and_in_order() -> None:
    later, earlier = Gap("a", 9.0, 10.0, "lost"), Gap("a", 1.0, 2.0, "lost")
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        begin(memory, "b")
        for gap in (later, earlier, later):
            memory.add_gap(gap)
        assert memory.gaps() == memory.gaps("a") == [earlier, later]
        assert memory.gaps("b") == []


def test_metadata_names_what_made_the_memory() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        metadata = memory.metadata()
    assert metadata["encoder"] == "made-up" and metadata["encoder_revision"] == "r1"
    assert (metadata["dim"], metadata["visual_dim"], metadata["seed"]) == (12, 8, 0)
    assert metadata["config"]["budget_mb"] == 0.2 and metadata["schema"] == schema.SCHEMA
    assert metadata["created_at"] and metadata["app_version"]


def test_a_new_memory_needs_an_encoder() -> None:
    with pytest.raises(UsageError, match="a new memory needs the encoder"):
        open_memory(None)
