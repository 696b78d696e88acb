"""Folders of pictures as streams."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from streammem.errors import SourceError
from streammem.sources import picture
from streammem.sources.folder import natural_order, read_image
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig


def write_grey(path: Path, level: int, *, size: tuple[int, int] = (32, 24)) -> None:
    PillowImage.new("RGB", size, (level, level, level)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (10, 9, 1, 2):
        write_grey(tmp_path / f"shot{number}.png", number * 20)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def levels(frames: list[np.ndarray]) -> list[int]:
    return [int(rgb[0, 0, 0]) for rgb in frames]


def test_pictures_come_in_natural_order(folder: Path) -> None:
    source = open_source(folder, SamplingConfig())
    frames = list(source)
    assert levels([frame.rgb for frame in frames]) == [20, 40, 180, 200]
    assert [frame.time_s for frame in frames] == [0.0, 1.0, 2.0, 3.0]
    info = source.info
    assert (info.width, info.height, info.frame_count, info.duration_s) == (32, 24, 4, 4.0)
    assert info.source_id == folder.name


def test_pictures_are_sampled_by_their_times(folder: Path) -> None:
    source = open_source(folder, SamplingConfig(fps=1, seconds_per_image=0.5, start_s=0.5))
    assert [(frame.index, frame.time_s) for frame in source] == [(1, 0.5), (3, 1.5)]


def test_an_unreadable_picture_is_a_gap_and_the_next_takes_its_place(folder: Path) -> None:
    (folder / "shot2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    source = open_source(folder, SamplingConfig(fps=0.5))
    assert [frame.index for frame in source] == [0, 2]
    assert source.gaps == []
    source = open_source(folder, SamplingConfig(fps=1))
    assert [frame.index for frame in source] == [0, 2, 3]
    (gap,) = source.gaps
    assert (gap.start_s, gap.end_s) == (1.0, 2.0)
    assert "shot2.png cannot be read" in gap.reason


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turned a quarter clockwise to be shown
    stored = PillowImage.new("RGB", (40, 20), (200, 0, 0))
    stored.save(tmp_path / "phone.jpg", exif=exif)
    assert read_image(tmp_path / "phone.jpg").shape == (40, 20, 3)
    assert read_image(tmp_path / "phone.jpg", max_side=20).shape == (20, 10, 3)


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.array([[0, 0x4000, 0x8000, 0xFFFF]], np.uint16).repeat(4, axis=0)
    PillowImage.fromarray(shades).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 64, 128, 255]


def test_a_picture_far_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_grey(tmp_path / "big.png", 1, size=(64, 64))
    monkeypatch.setattr(picture, "MAX_PIXELS", 1000)
    with pytest.raises(SourceError, match="64 x 64 pixels; at most 1,000 pixels are read"):
        read_image(tmp_path / "big.png")


def test_a_picture_bomb_is_refused_without_being_unpacked(tmp_path: Path) -> None:
    write_grey(tmp_path / "x.bmp", 1)
    header = bytearray((tmp_path / "x.bmp").read_bytes())
    header[18:22] = (60000).to_bytes(4, "little")
    header[22:26] = (60000).to_bytes(4, "little")
    (tmp_path / "x.bmp").write_bytes(header)
    with pytest.raises(SourceError, match="far too large"):
        read_image(tmp_path / "x.bmp")


def test_what_is_no_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no pictures \(.bmp, .*\); give a video file"):
        open_source(tmp_path, SamplingConfig())
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"has 1 pictures and none can be read, .*a\.jpg"):
        open_source(tmp_path, SamplingConfig())
    with pytest.raises(SourceError, match=r"picture .*gone\.png does not exist"):
        read_image(tmp_path / "gone.png")


def test_a_closed_folder_is_not_read(folder: Path) -> None:
    source = open_source(folder, SamplingConfig())
    source.close()
    with pytest.raises(SourceError, match="was closed; open it again"):
        next(iter(source))


def test_natural_order() -> None:
    names = ["a10", "a2", "b1", "a2b3", "A1", "3"]
    assert sorted(names, key=natural_order) == ["3", "A1", "a2", "a2b3", "a10", "b1"]
