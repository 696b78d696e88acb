"""A memory over time as one picture: what each tier holds, its bytes, and what had to leave."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from apps.timeline import TIER_COLOURS
from memory_banks.history import Sample
from streammem.errors import StreamMemError, UsageError

_INK, _QUIET, _GRID, _PAPER = "#222222", "#666666", "#E4E4E4", "#FFFFFF"
_TIERS = TIER_COLOURS | {"sensory": "#F8D27C"}
"""Sensory memory lighter than in the timeline: told from working memory in grey too."""
_BYTES, _MERGED, _LOST, _DELETED = "#C3CBD3", "#4A3F8F", "#E8903A", "#B0005A"

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _SPACE = 1280, 88, 36, 118, 58, 70
_SMOOTH = 3
"""How much larger everything is drawn before it is scaled down, which smooths its edges."""


@dataclass(frozen=True, slots=True)
class _Band:
    """What is stacked in a panel: what its colour means, and a value for every sample."""

    label: str
    colour: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Panel:
    """Bands stacked from the lowest up; `limit` is what they may reach, `marks` are at frames."""

    name: str
    height: int
    bands: Sequence[_Band]
    limit: float = 0.0
    marks: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where numbers of frames up to `frames` and values up to `most` lie in the picture."""

    draw: ImageDraw.ImageDraw
    left: int
    top: int
    right: int
    bottom: int
    frames: int
    most: float

    def x(self, frames: float) -> float:
        return self.left + (self.right - self.left) * frames / self.frames

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.most


def draw_plot(
    path: Path, samples: Sequence[Sample], *, budget_bytes: int, title: str, subtitle: str = ""
) -> None:
    """Write a PNG of what a memory held at each of its `samples`."""
    if len(samples) < 2:
        raise UsageError(
            f"{title}: nothing to plot yet, its history has {len(samples)} of the 2 samples that "
            "a line needs; ingest some more first"
        )
    panels = _panels(samples, budget_bytes=budget_bytes)
    height = _TOP + sum(panel.height + _SPACE for panel in panels) - _SPACE + _BOTTOM
    picture = Image.new("RGB", (_WIDTH * _SMOOTH, height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(picture)
    _write(draw, (24, 20), title, size=20)
    _write(draw, (24, 50), subtitle, size=14, colour=_QUIET)
    frames, top = [one.frames_seen for one in samples], _TOP
    for panel in panels:
        values = (band.values for band in panel.bands)
        most = max(panel.limit, *map(sum, zip(*values, strict=True)))
        ticks = round_ticks(most, count=min(panel.height // 36, max(2, math.ceil(most))))
        reach = max(1.05 * most, ticks[-1])
        bottom = top + panel.height
        axes = _Axes(draw, _LEFT, top, _WIDTH - _RIGHT, bottom, frames[-1], reach)
        _draw_bands(axes, frames, panel.bands)
        for frame in panel.marks:
            ends = (axes.x(frame), axes.top), (axes.x(frame), axes.bottom)
            _line(axes, *ends, colour=_DELETED, width=3)
        _draw_axes(axes, ticks)
        if panel.limit:
            _draw_dashes(axes, axes.y(panel.limit))
        _draw_heading(axes, panel)
        top = bottom + _SPACE
    _write(draw, (_WIDTH - _RIGHT, height - 28), "frames seen", size=13, anchor="ra")
    try:
        picture.resize((_WIDTH, height), Image.Resampling.LANCZOS).save(path, format="PNG")
    except OSError as error:
        raise StreamMemError(f"plot {path} cannot be written: {error.strerror}") from error


def _panels(samples: Sequence[Sample], *, budget_bytes: int) -> list[_Panel]:
    """Return what is drawn, from the top of the picture down."""
    last = samples[-1]
    tiers = [
        _Band(
            f"{tier.replace('_', '-')} {getattr(last, tier):,}",
            colour,
            [getattr(one, tier) for one in samples],
        )
        for tier, colour in reversed(_TIERS.items())
    ]
    held = _Band(f"held {last.bytes / 1e6:.1f}", _BYTES, [one.bytes / 1e6 for one in samples])
    left = [
        _Band(
            f"merged into others, {last.merged:,} in all",
            _MERGED,
            _rates(samples, lambda one: one.merged),
        ),
        _Band(f"let go, {last.lost:,}", _LOST, _rates(samples, lambda one: one.lost)),
    ]
    deletions = [
        after.frames_seen for before, after in pairwise(samples) if after.deleted > before.deleted
    ]
    return [
        _Panel("entries", 250, tiers),
        _Panel("MB in RAM and file", 150, [held], limit=budget_bytes / 1e6),
        _Panel("entries that left, per frame seen", 150, left, marks=deletions),
    ]


def round_ticks(most: float, *, count: int) -> list[float]:
    """Return round numbers from 0 to at most `most`, in at most `count` even steps, 2 or more."""
    if most <= 0.0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(most / count))
    step = next(
        factor * power for factor in (1, 2, 5, 10) if int(most / (factor * power) + 1e-9) <= count
    )
    return [number * step for number in range(int(most / step + 1e-9) + 1)]


def _rates(samples: Sequence[Sample], count: Callable[[Sample], int]) -> list[float]:
    """Return how much `count` grew a frame from the sample before, or from nothing, to each."""
    rates, gone, seen = [], 0, 0
    for sample in samples:
        rates.append((count(sample) - gone) / (sample.frames_seen - seen))
        gone, seen = count(sample), sample.frames_seen
    return rates


def _draw_bands(axes: _Axes, frames: Sequence[int], bands: Iterable[_Band]) -> None:
    """Draw bands one upon the other, the first the lowest, with a fine line between them."""
    lower = [0.0] * len(frames)
    for band in bands:
        upper = [below + value for below, value in zip(lower, band.values, strict=True)]
        edge = [(axes.x(frame), axes.y(value)) for frame, value in zip(frames, upper, strict=True)]
        base = [(axes.x(frame), axes.y(value)) for frame, value in zip(frames, lower, strict=True)]
        axes.draw.polygon([_large(point) for point in edge + base[::-1]], fill=band.colour)
        if upper != lower:
            axes.draw.line([_large(point) for point in edge], fill=_PAPER, width=_SMOOTH)
        lower = upper


def _draw_axes(axes: _Axes, ticks: Sequence[float]) -> None:
    """Write round numbers beside and below a panel, with pale lines across it."""
    for value in ticks:
        y = axes.y(value)
        _line(axes, (axes.left, y), (axes.right, y), colour=_GRID if value else _INK)
        _write(axes.draw, (axes.left - 10, y), f"{value:,.6g}", size=13, anchor="rm")
    for frame in round_ticks(axes.frames, count=min(10, axes.frames)):
        x = axes.x(frame)
        _line(axes, (x, axes.bottom), (x, axes.bottom + 5), colour=_INK)
        _write(axes.draw, (x, axes.bottom + 8), f"{frame:,.6g}", size=13, anchor="ma")


def _draw_dashes(axes: _Axes, y: float) -> None:
    """Draw a dashed line across a panel."""
    for x in range(axes.left, axes.right, 12):
        _line(axes, (x, y), (min(x + 7, axes.right), y), colour=_INK, width=2)


def _draw_heading(axes: _Axes, panel: _Panel) -> None:
    """Write what a panel shows above it, and at the right what its colours mean."""
    y = axes.top - 22
    _write(axes.draw, (axes.left, y), panel.name, size=15, anchor="lm")
    meanings = [(band.label, band.colour, 12, 12) for band in panel.bands]
    if panel.limit:
        meanings.append((f"budget {panel.limit:,.4g}", _INK, 12, 2))
    if panel.marks:
        meanings.append(("deleted", _DELETED, 3, 12))
    x: float = axes.right
    for label, colour, width, height in meanings:
        x -= ImageFont.load_default(13 * _SMOOTH).getlength(label) / _SMOOTH
        _write(axes.draw, (x, y), label, size=13, anchor="lm")
        middle = x - 14
        corners = (
            *_large((middle - width / 2, y - height / 2)),
            *_large((middle + width / 2, y + height / 2)),
        )
        axes.draw.rectangle(corners, fill=colour)
        x -= 44


def _line(
    axes: _Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    colour: str,
    width: int = 1,
) -> None:
    axes.draw.line((*_large(start), *_large(end)), fill=colour, width=width * _SMOOTH)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    size: int,
    anchor: str = "la",
    colour: str = _INK,
) -> None:
    font = ImageFont.load_default(size * _SMOOTH)
    draw.text(_large(at), text, fill=colour, font=font, anchor=anchor)


def _large(point: tuple[float, float]) -> tuple[float, float]:
    """Return where a point of the picture is while it is drawn."""
    return point[0] * _SMOOTH, point[1] * _SMOOTH
