"""The picture of a memory over time: what is drawn where, and when it is refused."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

from apps import plot
from apps.cli import main
from apps.plot import draw_plot, round_ticks
from memory_banks.history import Sample
from memory_banks.tiered import open_memory
from tests.memory_banks.streams import ENCODER, TIGHT, fill

Capture = pytest.CaptureFixture[str]
Picture = NDArray[np.int64]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory in which entries have merged."""
    found = tmp_path / "m.smem"
    with open_memory(found, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 300)
    return found


def drawn(path: Path, *samples: Sample) -> Picture:
    """Return the pixels `[H, W, 3]` of a plot with a budget of 8 MB."""
    draw_plot(path, samples, budget_bytes=8_000_000, title="m.smem")
    with Image.open(path) as picture:
        return np.asarray(picture, dtype=np.int64)


def pixels(picture: Picture, colour: str, *, at: int) -> int:
    """Return how many pixels of a column have a colour, or nearly."""
    apart = np.abs(picture[:, at] - np.array(ImageColor.getrgb(colour))).max(axis=1)
    return int((apart < 12).sum())


def test_heights_are_what_was_held_and_what_left(tmp_path: Path) -> None:
    first = Sample(100, 10, 30, 60, bytes=4_000_000, merged=0, lost=0, deleted=0)
    last = Sample(200, 10, 30, 60, bytes=4_000_000, merged=150, lost=50, deleted=0)
    picture = drawn(tmp_path / "p.png", first, last)
    inside = 1200
    held = {tier: pixels(picture, colour, at=inside) for tier, colour in plot._TIERS.items()}
    for (one, count), (other, more) in pairwise([("sensory", 10), ("working", 30)] * 2):
        assert held[one] / held[other] == pytest.approx(count / more, rel=0.25)
    assert held["long_term"] / held["working"] == pytest.approx(2.0, rel=0.1)
    assert pixels(picture, plot._BYTES, at=inside) == pytest.approx(150 / 1.05 / 2, abs=6)
    merged, lost = (pixels(picture, one, at=inside) for one in (plot._MERGED, plot._LOST))
    assert merged / lost == pytest.approx(3.0, rel=0.15)


def test_a_deletion_is_marked_where_it_was(tmp_path: Path) -> None:
    samples = [Sample(n, 1, 1, n, n * 1000, n, 0, deleted=5 * (n >= 500)) for n in (250, 500, 1000)]
    plain = [Sample(n, 1, 1, n, n * 1000, n, 0, deleted=0) for n in (250, 500, 1000)]
    at = (plot._LEFT + 1280 - plot._RIGHT) // 2
    assert pixels(drawn(tmp_path / "p.png", *samples), plot._DELETED, at=at) > 100
    assert pixels(drawn(tmp_path / "p.png", *plain), plot._DELETED, at=at) == 0


def test_what_touches_is_told_apart_in_grey() -> None:
    def grey(colour: str) -> int:
        return int(Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0)))  # type: ignore[arg-type]

    for colours in ([*plot._TIERS.values(), plot._PAPER], [plot._MERGED, plot._LOST, plot._PAPER]):
        assert all(abs(grey(one) - grey(other)) > 35 for one, other in combinations(colours, 2))


@pytest.mark.parametrize("most", [1e-3, 0.2, 0.99, 1.0, 2.36, 3.0, 7.0, 64.0, 165.0, 86_400.0])
@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_ticks_are_round_and_fill_the_axis(most: float, count: int) -> None:
    ticks = round_ticks(most, count=count)
    step = ticks[1]
    assert f"{step:.0e}"[0] in "125" and step == pytest.approx(float(f"{step:.0e}"))
    assert ticks == pytest.approx([number * step for number in range(len(ticks))])
    assert most - step < ticks[-1] <= most * (1 + 1e-9) and len(ticks) > 1
    assert len(ticks) - 1 <= count


def test_an_axis_of_nothing_has_ticks() -> None:
    assert round_ticks(0.0, count=4) == [0.0, 1.0]


def test_a_memory_is_drawn_once_unless_forced(path: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "plot.png"
    assert main(["memories", str(path), "--plot", str(out)]) == 0
    assert f"wrote {out}" in capsys.readouterr().err
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.width == 1280
    assert main(["memories", str(path), "--plot", str(out)]) == 2
    assert "exists; choose another name, or allow overwriting with --force" in (
        capsys.readouterr().err
    )
    assert main(["memories", str(path), "--plot", str(out), "--force"]) == 0


@pytest.mark.parametrize(
    ("out", "code", "message"),
    [
        ("p.pdf", 2, "a plot is a PNG, got .*p.pdf; choose a name like memory.png"),
        ("none/p.png", 1, "plot .*p.png cannot be written: No such file or directory"),
    ],
)
def test_a_plot_that_cannot_be_written(
    out: str, code: int, message: str, path: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["memories", str(path), "--plot", str(tmp_path / out)]) == code
    said = capsys.readouterr().err
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said)


def test_one_memory_is_drawn_at_a_time(path: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["memories", str(path), str(path), "--plot", str(tmp_path / "p.png")]) == 2
    assert "--plot draws one memory, got 2; name the one" in capsys.readouterr().err


def test_a_memory_without_history_cannot_be_drawn(tmp_path: Path, capsys: Capture) -> None:
    path, out = tmp_path / "empty.smem", tmp_path / "p.png"
    open_memory(path, encoder=ENCODER, mode="write").close()
    assert main(["memories", str(path), "--plot", str(out)]) == 2
    assert "empty.smem: nothing to plot yet, its history has 0 of the 2" in capsys.readouterr().err
    assert not out.exists()
