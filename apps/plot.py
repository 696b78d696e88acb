"""A memory over time as one picture: what each tier holds, the bytes, and what had to go."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from apps.timeline import TIER_COLOURS
from memory_banks.history import Sample
from streammem.errors import UsageError

_Font: TypeAlias = "ImageFont.ImageFont | ImageFont.FreeTypeFont"
_Box: TypeAlias = tuple[int, int, int, int]
_Bands: TypeAlias = Sequence[tuple[str, str, Sequence[float]]]
"""Name, colour and values of what is stacked, the lowest first."""

_INK, _GRID, _PAPER = "#222222", "#DDDDDD", "#FFFFFF"
_BYTES, _MERGED, _LOST, _DELETED = "#999999", "#009E73", "#D55E00", "#CC79A7"
_WIDTH, _LEFT, _RIGHT, _TOP, _PANEL, _SPACE = 1280, 96, 190, 64, 190, 46


def draw_plot(path: Path, samples: Sequence[Sample], *, budget_bytes: int, title: str) -> None:
    """Write a PNG of what a memory held at each of its `samples`."""
    if len(samples) < 2:
        raise UsageError(
            f"{title}: nothing to plot yet, its history has {len(samples)} samples; "
            "ingest some more first"
        )
    panels: list[tuple[str, _Bands, float | None]] = [
        (
            "entries",
            [
                (tier.replace("_", "-"), colour, [getattr(one, tier) for one in samples])
                for tier, colour in reversed(TIER_COLOURS.items())
            ],
            None,
        ),
        ("MB", [("held", _BYTES, [one.bytes / 1e6 for one in samples])], budget_bytes / 1e6),
        (
            "gone, per frame seen",
            [
                ("merged", _MERGED, _rates(samples, lambda one: one.merged)),
                ("let go", _LOST, _rates(samples, lambda one: one.lost)),
                ("deleted", _DELETED, _rates(samples, lambda one: one.deleted)),
            ],
            None,
        ),
    ]
    height = _TOP + len(panels) * (_PANEL + _SPACE) + 8
    picture = Image.new("RGB", (_WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((24, 18), title, fill=_INK, font=ImageFont.load_default(18))
    frames = [one.frames_seen for one in samples]
    for number, (unit, bands, limit) in enumerate(panels):
        top = _TOP + number * (_PANEL + _SPACE)
        box = (_LEFT, top, _WIDTH - _RIGHT, top + _PANEL)
        _draw_panel(draw, box, frames, bands, unit=unit, limit=limit)
    picture.save(path, format="PNG")


def _rates(samples: Sequence[Sample], count: Callable[[Sample], int]) -> list[float]:
    """Return how much `count` grew a frame between each sample and the one before."""
    rates = [0.0]
    for before, after in pairwise(samples):
        rates.append((count(after) - count(before)) / (after.frames_seen - before.frames_seen))
    return rates


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    box: _Box,
    frames: Sequence[int],
    bands: _Bands,
    *,
    unit: str,
    limit: float | None,
) -> None:
    """Draw stacked bands over frames, with round numbers at both axes and the names beside."""
    left, top, right, bottom = box
    font = ImageFont.load_default(13)
    totals = [sum(values) for values in zip(*(values for _, _, values in bands), strict=True)]
    step_y, steps = _round_steps(max(max(totals), limit or 0.0))
    step_x, steps_x = _round_steps(frames[-1])

    def x_of(frame: float) -> float:
        return left + (right - left) * frame / frames[-1]

    def y_of(value: float) -> float:
        return bottom - (bottom - top) * value / (step_y * steps)

    for number in range(steps + 1):
        y = y_of(number * step_y)
        draw.line((left, y, right, y), fill=_GRID)
        label = f"{number * step_y:,.6g}"
        draw.text((left - 8, y), label, fill=_INK, font=font, anchor="rm")
    lower = [0.0] * len(frames)
    for place, (name, colour, values) in enumerate(bands):
        upper = [below + value for below, value in zip(lower, values, strict=True)]
        outline = [(x_of(frame), y_of(value)) for frame, value in zip(frames, upper, strict=True)]
        base = [(x_of(frame), y_of(value)) for frame, value in zip(frames, lower, strict=True)]
        draw.polygon(outline + base[::-1], fill=colour)
        y = top + 4 + 22 * (place + (limit is not None))
        draw.rectangle((right + 16, y, right + 28, y + 12), fill=colour)
        draw.text(
            (right + 36, y + 6), f"{name} {values[-1]:,.4g}", fill=_INK, font=font, anchor="lm"
        )
        lower = upper
    if limit is not None:
        draw.line((left, y_of(limit), right, y_of(limit)), fill=_LOST, width=2)
        draw.text(
            (right + 16, y_of(limit)), f"budget {limit:,.4g}", fill=_LOST, font=font, anchor="lm"
        )
    draw.line((left, bottom, right, bottom), fill=_INK)
    for number in range(steps_x + 1):
        frame = number * step_x
        if frame <= frames[-1]:
            draw.text((x_of(frame), bottom + 5), f"{frame:,.6g}", fill=_INK, font=font, anchor="ma")
    draw.text((left, top - 14), unit, fill=_INK, font=font, anchor="lm")
    draw.text((right + 16, bottom + 12), "frames seen", fill=_INK, font=font, anchor="lm")


def _round_steps(most: float) -> tuple[float, int]:
    """Return a round step and how many of them reach `most`, about four."""
    if most <= 0.0:
        return 1.0, 1
    power = 10.0 ** len(str(int(most))) / 1000.0 if most >= 1.0 else 1e-3
    while True:
        for factor in (1.0, 2.0, 2.5, 5.0):
            steps = -(-most // (factor * power))
            if steps <= 5:
                return factor * power, int(steps)
        power *= 10.0
