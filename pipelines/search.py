"""From words or a picture to the moments most like it."""

from dataclasses import replace

from memory_banks.tiered import Memory
from pipelines.answer import with_thumbnails
from streammem.protocols import Encoder
from streammem.records import Evidence, Frame, Image, MemoryEntry

_HITS_PER_MOMENT = 8


def search_text(
    memory: Memory,
    encoder: Encoder,
    text: str,
    *,
    k: int = 5,
    at_s: float | None = None,
    source_id: str | None = None,
    gap_s: float = 5.0,
) -> list[Evidence]:
    """Return the `k` moments most like `text`, best first, at least `gap_s` apart."""
    query = encoder.encode_text([text])[0]
    hits = memory.recall(query, k=k * _HITS_PER_MOMENT, at_s=at_s, source_id=source_id)
    keys = {entry.entry_id: entry.key for entry, _ in hits}
    return [
        replace(
            moment,
            presence=float(encoder.presence(text, keys[moment.entry_id][None])[0]),
            label=encoder.describe(keys[moment.entry_id], k=1)[0][0],
        )
        for moment in with_thumbnails(memory, group_hits(hits, k=k, gap_s=gap_s))
    ]


def search_image(
    memory: Memory,
    encoder: Encoder,
    image: Image,
    *,
    k: int = 5,
    at_s: float | None = None,
    source_id: str | None = None,
    gap_s: float = 5.0,
) -> list[Evidence]:
    """Return the `k` moments that look most like `image`, best first, at least `gap_s` apart."""
    visual = encoder.encode([Frame("query", 0, 0.0, image)])[0].visual
    hits = memory.recall(
        visual, k=k * _HITS_PER_MOMENT, at_s=at_s, source_id=source_id, by="visual"
    )
    return list(with_thumbnails(memory, group_hits(hits, k=k, gap_s=gap_s)))


def group_hits(hits: list[tuple[MemoryEntry, float]], *, k: int, gap_s: float) -> list[Evidence]:
    """Return up to `k` moments out of entries with scores, best first.

    A hit within `gap_s` of a better one widens that moment instead of making its own.
    """
    moments: list[Evidence] = []
    for entry, score in sorted(hits, key=lambda hit: (-hit[1], hit[0].start_s)):
        near = next((i for i, moment in enumerate(moments) if _touches(moment, entry, gap_s)), None)
        if near is not None:
            moment = moments[near]
            moments[near] = replace(
                moment,
                start_s=min(moment.start_s, entry.start_s),
                end_s=max(moment.end_s, entry.end_s),
            )
        elif len(moments) < k:
            moments.append(
                Evidence(
                    entry_id=entry.entry_id,
                    source_id=entry.source_id,
                    start_s=entry.start_s,
                    end_s=entry.end_s,
                    score=score,
                    peak_s=entry.mean_s,
                )
            )
    return moments


def _touches(moment: Evidence, entry: MemoryEntry, gap_s: float) -> bool:
    """Return whether `entry` lies within `gap_s` of `moment` in the same source."""
    return (
        moment.source_id == entry.source_id
        and entry.start_s <= moment.end_s + gap_s
        and entry.end_s >= moment.start_s - gap_s
    )
