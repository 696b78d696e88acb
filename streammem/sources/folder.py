"""A folder of pictures as a stream, in the order people number them."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from streammem.errors import SourceError
from streammem.records import Frame, Gap, Image, SourceInfo
from streammem.sources.container import PICTURE_SUFFIXES, WANTED
from streammem.sources.gap_log import GapLog
from streammem.sources.picture import check_pixels, fitted
from streammem.sources.read_ahead import FrameSteps, ReadAhead
from streammem.sources.sampling import Sampler, SamplingConfig


class FolderSource:
    """The pictures of one folder by natural order of their names: 2.png before 10.png.

    Picture n is shown from `n * seconds_per_image` on. One that cannot be read is a gap, and the
    next one takes its place.
    """

    def __init__(self, folder: Path, sampling: SamplingConfig, *, source_id: str) -> None:
        self._sampling = sampling
        self._reading: ReadAhead | None = None
        self._closed = False
        self._paths = pictures_in(folder)
        self._folder = folder
        size = next((size for path in self._paths if (size := _shown_size(path))), None)
        if size is None:
            raise SourceError(
                f"folder {folder} has {len(self._paths)} pictures and none can be read, the first"
                f" of them {self._paths[0].name}; see whether an image viewer shows them"
            )
        self.gaps: list[Gap] = []
        self.info = SourceInfo(
            source_id=source_id,
            uri=str(folder.absolute()),
            width=size[0],
            height=size[1],
            fps=1.0 / sampling.seconds_per_image,
            duration_s=len(self._paths) * sampling.seconds_per_image,
            frame_count=len(self._paths),
            codec="pictures",
        )

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise SourceError(f"{self._folder} was closed; open it again to read it")
        self.gaps.clear()
        self._reading = ReadAhead(
            self._steps(),
            name=str(self._folder),
            ahead=self._sampling.ahead,
            stall_s=self._sampling.stall_s,
        )
        yield from self._reading

    def close(self) -> None:
        """End the reading; safe from any thread."""
        self._closed = True
        if self._reading is not None:
            self._reading.close()

    def _steps(self) -> FrameSteps:
        sampler, gaps = Sampler(self._sampling), GapLog(self.info.source_id, self.gaps)
        each_s = self._sampling.seconds_per_image
        for index, path in enumerate(self._paths):
            time_s = index * each_s
            yield None
            if sampler.ended(time_s):
                break
            if not sampler.wants(time_s):
                continue
            try:
                rgb = read_image(path, max_side=self._sampling.max_side)
            except SourceError as error:
                gaps.lost(time_s, time_s + each_s, str(error))
                continue
            gaps.settle()
            sampler.take(time_s)
            yield Frame(source_id=self.info.source_id, index=index, time_s=time_s, rgb=rgb)
        gaps.settle()


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of `folder` in natural order; hidden files are none."""
    try:
        paths = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
        ]
    except OSError as error:
        raise SourceError(f"folder {folder} cannot be read: {error.strerror}") from error
    if not paths:
        raise SourceError(
            f"folder {folder} has no pictures ({', '.join(PICTURE_SUFFIXES)}); {WANTED}"
        )
    return sorted(paths, key=lambda path: natural_order(path.name))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which digits sort as numbers: a2 before a10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts if part]


def read_image(path: Path, *, max_side: int = 0) -> Image:
    """Return the picture at `path` upright as uint8 `[H, W, 3]`, fitted to `max_side` unless 0.

    Its EXIF orientation is honoured. Raises `SourceError` where it is none, or far too large.
    """
    try:
        with _opened(path) as picture:
            check_pixels(str(path), width=picture.width, height=picture.height)
            size = fitted(picture.width, picture.height, max_side=max_side)
            if size != picture.size:
                picture.draft("RGB", size)
            whole = _eight_bit(ImageOps.exif_transpose(picture))
            fit = fitted(whole.width, whole.height, max_side=max_side)
            if fit != whole.size:
                whole = whole.resize(fit, PillowImage.Resampling.BILINEAR)
            return np.array(whole)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise SourceError(f"picture {path} does not exist") from error
        raise SourceError(f"picture {path} cannot be read: {error or 'it is damaged'}") from error


def _eight_bit(picture: PillowImage.Image) -> PillowImage.Image:
    """Return `picture` as RGB; of 16-bit grey the high byte, where Pillow would cut at 255."""
    if picture.mode.startswith("I"):
        high = np.clip(np.asarray(picture).astype(np.int64) >> 8, 0, 255)
        picture = PillowImage.fromarray(high.astype(np.uint8))
    return picture.convert("RGB")


def _opened(path: Path) -> PillowImage.Image:
    """Open without Pillow's warning about large pictures: `check_pixels` refuses them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
        try:
            return PillowImage.open(path)
        except PillowImage.DecompressionBombError as error:
            raise SourceError(f"picture {path} is far too large: {error}") from error


def _shown_size(path: Path) -> tuple[int, int] | None:
    """Return the size of a picture as shown, None where it cannot be read."""
    try:
        height, width, _ = read_image(path).shape
    except SourceError:
        return None
    return width, height
