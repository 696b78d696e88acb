"""From moments that a search has found to the entries that hold them, deleted."""

from collections.abc import Iterable

from memory_banks.editing import Forgotten
from memory_banks.tiered import Memory
from streammem.records import Evidence


def forget_moments(
    memory: Memory, moments: Iterable[Evidence], *, dry: bool = False
) -> list[Forgotten]:
    """Delete every entry that overlaps one of `moments`, for good and all at once.

    Returns what went, moment by moment; a `dry` run only returns what would go.
    """
    found: dict[int, Forgotten] = {}
    for moment in moments:
        for one in memory.forget(
            source_id=moment.source_id, start_s=moment.start_s, end_s=moment.end_s, dry=True
        ):
            found.setdefault(one.entry_id, one)
    if not dry:
        memory.forget(entry_ids=list(found))
    return list(found.values())
