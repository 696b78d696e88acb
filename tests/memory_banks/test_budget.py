"""The budget holds after any number of frames of any kind, and every frame is accounted for."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory_banks.entries import entry_bytes
from memory_banks.sensory import whole_bytes
from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.tiered import Memory, open_memory
from streammem.errors import UsageError
from streammem.records import Features, Frame, Gap
from tests.memory_banks.streams import ENCODER, TIGHT, begin, fill, unit


def bytes_held(memory: Memory) -> int:
    """Return what entries and pictures cost, added up from what the memory gives out."""
    numbers = memory.encoder.dim + memory.encoder.visual_dim
    entries = sum(
        entry_bytes(numbers=numbers, thumbnail_bytes=len(memory.thumbnail(entry.entry_id) or b""))
        for entry in memory.entries()
    )
    return entries + sum(whole_bytes(*whole) for whole in memory.whole_frames())


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(1, 40),
    sensory=st.integers(0, 6),
    working=st.integers(0, 12),
    slack=st.floats(1.0, 2.5),
    count=st.integers(0, 120),
    log=st.sampled_from([0, 5, 100]),
)
def test_the_budget_holds_and_frames_add_up(
    seed: int, dim: int, sensory: int, working: int, slack: float, count: int, log: int
) -> None:
    rng = np.random.default_rng(seed)
    encoder = EncoderIdentity("made-up", "r1", dim, 3)
    config = MemoryConfig(
        budget_mb=0.2 * slack,
        sensory_frames=sensory,
        working_frames=working,
        thumbnail_px=16,
        eviction_log=log,
    )
    last_s = {"a": 0.0, "b": -40.0}
    reasons: Counter[str] = Counter()
    with open_memory(None, encoder=encoder, config=config) as memory:
        for source_id in last_s:
            begin(memory, source_id)
        for index in range(count):
            source_id = str(rng.choice(["a", "b"], p=[0.8, 0.2]))
            last_s[source_id] += float(rng.choice([0.0, 0.5, 1.0, 60.0], p=[0.1, 0.3, 0.5, 0.1]))
            height, width = rng.integers(1, 90, 2)
            rgb = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
            frame = Frame(source_id, index, last_s[source_id], rgb)
            before = {entry.entry_id for entry in memory.entries()}
            gone = memory.push(frame, Features(unit(rng, dim), unit(rng, 3)))
            if rng.random() < 0.05:
                at = last_s[source_id]
                gone += memory.add_gap(Gap(source_id, at + 0.1, at + 0.2, "lost"))
            if rng.random() < 0.1:
                memory.checkpoint()
            after = {entry.entry_id for entry in memory.entries()}

            stats = memory.stats()
            assert stats.bytes <= stats.budget_bytes
            assert bytes_held(memory) == sum(stats.tier_bytes.values())
            assert stats.frames_seen == index + 1
            entries = memory.entries()
            assert sum(entry.count for entry in entries) == stats.frames_held
            assert sum(stats.entries.values()) == len(entries)
            for entry in entries:
                assert entry.start_s <= entry.mean_s <= entry.end_s
                assert (entry.count == 1) == (entry.merged_from == ())
            went = {eviction.entry_id for eviction in gone}
            made = {eviction.into for eviction in gone if eviction.into is not None}
            assert before - after <= went and not went & after
            assert len(after - before - made) <= 1
            assert [e for e in gone if e.reason == "merged" and e.into is None] == []
            reasons.update(eviction.reason for eviction in gone)
        assert memory.stats().evictions == dict(reasons)
        if not reasons["capacity"]:
            assert memory.stats().frames_held == count


def test_the_budget_is_used_and_not_only_kept() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 500)
        stats = memory.stats()
        pictures = stats.budget_bytes // 8
        assert stats.bytes > stats.budget_bytes - pictures - 5_000
        assert stats.entries["sensory"] == 3 and stats.entries["long_term"] > 5


def test_every_evicted_entry_leads_to_one_that_is_held() -> None:
    config = MemoryConfig(budget_mb=0.4, thumbnail_px=16, eviction_log=1000, working_frames=5)
    with open_memory(None, encoder=ENCODER, config=config) as memory:
        fill(memory, 300)
        into = {gone.entry_id: gone.into for gone in memory.evictions()}
        held = {entry.entry_id: entry.count for entry in memory.entries()}
        ends: Counter[int] = Counter()
        for frame_id in set(into) | set(held):
            at = frame_id
            while at not in held:
                at = into[at]
            if frame_id not in into.values() and frame_id not in held:
                ends[at] += 1
        for entry_id, count in held.items():
            assert ends[entry_id] in (0, count) if count == 1 else ends[entry_id] == count


def test_the_file_stays_below_what_the_budget_counts_for_it(tmp_path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 600)
    assert path.stat().st_size <= TIGHT.budget_mb * 1e6
    with open_memory(path) as memory:
        assert memory.stats().file_bytes == path.stat().st_size
        assert memory.stats().bytes <= memory.stats().budget_bytes


def test_a_smaller_budget_is_kept_from_the_moment_of_opening(tmp_path) -> None:
    path = tmp_path / "m.smem"
    wide = MemoryConfig(budget_mb=1.0, thumbnail_px=16, eviction_log=50, working_frames=5)
    with open_memory(path, encoder=ENCODER, config=wide, mode="write") as memory:
        fill(memory, 300)
        many = len(memory.entries())
    with open_memory(path, config=TIGHT, mode="write") as memory:
        assert memory.stats().bytes <= 200_000
        assert len(memory.entries()) < many / 4
        assert memory.stats().frames_held == 300
    with open_memory(path) as memory:
        assert memory.config == TIGHT


def test_gaps_of_a_failing_camera_never_outgrow_their_share() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        for i in range(500):
            memory.add_gap(Gap("a", 10.0 * i, 10.0 * i + 4.0, "no answer"))
            assert memory.stats().bytes <= memory.stats().budget_bytes
        gaps = memory.gaps()
        assert 1 < len(gaps) < 20
        assert (gaps[0].start_s, gaps[-1].end_s) == (0.0, 4994.0)
        assert {gap.reason for gap in gaps} <= {"no answer", "several, the first: no answer"}


def test_more_sources_than_the_budget_has_room_for_are_refused() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        with pytest.raises(UsageError, match="holds 6 sources and its budget has room for no more"):
            for number in range(50):
                fill(memory, 30, source_id=f"camera {number}", seed=number)
                assert memory.stats().bytes <= memory.stats().budget_bytes
        assert len(memory.sources()) == 6
        begin(memory, "camera 3")


def test_at_the_least_budget_a_stream_is_merged_and_nothing_of_it_dropped() -> None:
    with pytest.raises(UsageError) as refused:
        open_memory(None, encoder=ENCODER, config=MemoryConfig(budget_mb=0.01))
    least = float(re.search(r"at least (\S+) MB", str(refused.value))[1])
    with open_memory(None, encoder=ENCODER, config=MemoryConfig(budget_mb=least)) as memory:
        fill(memory, 600)
        assert memory.stats().frames_held == 600
        assert memory.stats().entries["long_term"] >= 5


def test_a_budget_in_which_nothing_fits_names_the_least_one() -> None:
    with pytest.raises(UsageError, match=r"budget of 0\.01 MB is too small.*at least 1\.\d+ MB"):
        open_memory(None, encoder=ENCODER, config=MemoryConfig(budget_mb=0.01))


@pytest.mark.parametrize("name", ["budget_mb", "sensory_frames", "thumbnail_px", "max_hole_s"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be a number of at least"):
        MemoryConfig(**{name: -1})
