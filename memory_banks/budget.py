"""How one budget in MB is shared by the tiers, and what is too small to be one."""

import math
from dataclasses import dataclass

from memory_banks.entries import entry_bytes
from memory_banks.settings import EncoderIdentity, MemoryConfig
from streammem.errors import UsageError

MB = 1_000_000
FILE_BYTES = 96_000
"""The empty file: its tables, its settings, and the index beside it in RAM."""

PICTURES_SHARE, SOURCES_SHARE, GAPS_SHARE = 1 / 8, 1 / 16, 1 / 32
EVICTION_BYTES = 160
SOURCE_BYTES = 2048
GAP_BYTES = 512
LEAST_ENTRIES = 8
"""A memory that cannot hold this many entries is none."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of the whole memory and of its parts.

    At most `sources` sources and `gaps` gaps are kept. `pictures` is set aside for whole frames,
    `recent` bounds the entries of sensory and working memory, and long-term memory has what these
    and the `fixed` part leave.
    """

    total: int
    fixed: int
    sources: int
    gaps: int
    pictures: int
    recent: int


def budget_of(config: MemoryConfig, encoder: EncoderIdentity) -> Budget:
    """Return the shares of `config`'s budget, or refuse one in which nothing could be kept."""
    total = int(config.budget_mb * MB)
    numbers = encoder.dim + encoder.visual_dim
    raw_thumbnail = 3 * config.thumbnail_px**2
    fixed = FILE_BYTES + EVICTION_BYTES * config.eviction_log
    entries = LEAST_ENTRIES * entry_bytes(numbers=numbers, thumbnail_bytes=raw_thumbnail)
    least = (fixed + entries) / (1 - PICTURES_SHARE - SOURCES_SHARE - GAPS_SHARE)
    if total < least:
        raise UsageError(
            f"a budget of {config.budget_mb:g} MB is too small for this memory; it needs at least "
            f"{math.ceil(least / MB * 100) / 100:g} MB with thumbnails of {config.thumbnail_px} "
            f"pixels and features of {numbers} numbers"
        )
    pictures = int(total * PICTURES_SHARE)
    return Budget(
        total=total,
        fixed=fixed,
        sources=int(total * SOURCES_SHARE) // SOURCE_BYTES,
        gaps=int(total * GAPS_SHARE) // GAP_BYTES,
        pictures=pictures,
        recent=(total - fixed - pictures) // 3,
    )
