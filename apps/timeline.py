"""A memory's timeline as one picture: what was seen, which tier keeps it, where the evidence is."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from streammem.names import format_time
from streammem.records import Evidence, MemoryEntry

_Font: TypeAlias = "ImageFont.ImageFont | ImageFont.FreeTypeFont"

# Okabe and Ito's palette: told apart without colour vision too.
TIER_COLOURS = {"sensory": "#E69F00", "working": "#56B4E9", "long_term": "#0072B2"}
_EVIDENCE, _INK, _PALE, _PAPER = "#D55E00", "#222222", "#DDDDDD", "#FFFFFF"
_WIDTH, _MARGIN, _LABELS, _ROW, _STRIP, _BAR = 1280, 24, 330, 30, 44, 18


def draw_timeline(
    path: Path,
    entries: Sequence[MemoryEntry],
    rows: Sequence[tuple[str, Sequence[Evidence]]],
    *,
    title: str,
    thumbnail_of: Callable[[int], bytes | None],
) -> None:
    """Write a PNG of one source's `entries`, with one row of marks for each `(name, evidence)`.

    `thumbnail_of` returns the JPEG of an entry by its number.
    """
    end_s = max((entry.end_s for entry in entries), default=0.0) or 1.0
    height = _MARGIN * 2 + 30 + _STRIP + 14 + _BAR + 26 + _ROW * len(rows) + 34
    picture = Image.new("RGB", (_WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(16), ImageFont.load_default(13)
    left, right = _MARGIN + _LABELS, _WIDTH - _MARGIN

    def x_of(time_s: float) -> float:
        return left + (right - left) * time_s / end_s

    y = float(_MARGIN)
    draw.text((_MARGIN, y), title, fill=_INK, font=font)
    y += 30
    _paste_thumbnails(picture, entries, thumbnail_of, box=(left, right, int(y)), end_s=end_s)
    draw.text((_MARGIN, y + _STRIP / 2 - 8), "seen", fill=_INK, font=small)
    y += _STRIP + 14
    draw.text((_MARGIN, y + 1), "remembered in", fill=_INK, font=small)
    for entry in entries:
        box = (x_of(entry.start_s), y, max(x_of(entry.end_s), x_of(entry.start_s) + 1), y + _BAR)
        draw.rectangle(box, fill=TIER_COLOURS[entry.tier])
    y += _BAR + 6
    _draw_axis(draw, x_of, y, end_s, small)
    y += 26
    for name, evidence in rows:
        draw.text((_MARGIN, y + 5), _shorten(name, 50), fill=_INK, font=small)
        draw.line((left, y + _ROW / 2, right, y + _ROW / 2), fill=_PALE)
        for moment in evidence:
            start, stop = x_of(moment.start_s), x_of(moment.end_s)
            draw.rectangle((start, y + 5, max(stop, start + 4), y + _ROW - 5), fill=_EVIDENCE)
        y += _ROW
    _draw_legend(draw, left, y + 10, small)
    picture.save(path, format="PNG")


def _paste_thumbnails(
    picture: Image.Image,
    entries: Sequence[MemoryEntry],
    thumbnail_of: Callable[[int], bytes | None],
    *,
    box: tuple[int, int, int],
    end_s: float,
) -> None:
    """Lay thumbnails side by side over `box` (left, right, top), each where its time is."""
    left, right, top = box
    width = _STRIP
    x = left
    while entries and x < right:
        middle_s = (x + width / 2 - left) / (right - left) * end_s
        entry = min(entries, key=lambda candidate: abs(candidate.mean_s - middle_s))
        jpeg = thumbnail_of(entry.entry_id)
        if jpeg is not None:
            with Image.open(io.BytesIO(jpeg)) as thumbnail:
                width = max(24, round(_STRIP * thumbnail.width / thumbnail.height))
                tile = thumbnail.convert("RGB").resize((width, _STRIP))
            picture.paste(tile.crop((0, 0, min(width, right - x), _STRIP)), (x, top))
        x += width


def _draw_axis(
    draw: ImageDraw.ImageDraw, x_of: Callable[[float], float], y: float, end_s: float, font: _Font
) -> None:
    """Write times at round steps below the bar."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if end_s / step <= 10), steps[-1])
    time_s = 0
    while time_s <= end_s:
        draw.line((x_of(time_s), y - 4, x_of(time_s), y), fill=_INK)
        draw.text((x_of(time_s), y + 1), format_time(time_s), fill=_INK, font=font, anchor="ma")
        time_s += step


def _draw_legend(draw: ImageDraw.ImageDraw, x: float, y: float, font: _Font) -> None:
    """Name the colours."""
    names = {tier.replace("_", "-"): colour for tier, colour in TIER_COLOURS.items()}
    for name, colour in {**names, "evidence": _EVIDENCE}.items():
        draw.rectangle((x, y + 2, x + 12, y + 14), fill=colour)
        draw.text((x + 18, y), name, fill=_INK, font=font)
        x += 110


def _shorten(text: str, length: int) -> str:
    """Return `text` cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
