"""One way in: from what a user names to a source of frames."""

from pathlib import Path

from streammem.errors import SourceError, one_of
from streammem.protocols import FrameSource
from streammem.sources.addresses import CAMERA_SCHEMES, camera_name, scheme_of
from streammem.sources.camera_stream import CameraConfig, CameraStream
from streammem.sources.container import refuse_missing
from streammem.sources.folder import FolderSource
from streammem.sources.sampling import SamplingConfig
from streammem.sources.video import VideoSource
from streammem.world.source import names_world, open_world


def open_source(
    uri: str | Path,
    sampling: SamplingConfig,
    *,
    source_id: str | None = None,
    camera: CameraConfig | None = None,
) -> FrameSource:
    """Open a video file, a folder of pictures, a camera number or address, or a simulated world.

    The name of a source is that of its file or folder, of its world, or the camera's host and
    path, unless `source_id` gives one. Raises `SourceError` with a sentence on what is wrong; no
    message and no record holds a password from an address.
    """
    text = str(uri)
    if isinstance(uri, str):
        scheme = scheme_of(uri)
        if scheme in CAMERA_SCHEMES:
            name = source_id or camera_name(uri)
            return CameraStream(uri, sampling, source_id=name, config=camera)
        if scheme == "file":
            raise SourceError(f"{text} is an address; give the path of the file itself")
        if scheme is not None:
            raise one_of("scheme of an address", scheme, CAMERA_SCHEMES)
        if text.isdecimal() and not Path(text).exists():
            name = source_id or f"camera-{int(text)}"
            return CameraStream(int(text), sampling, source_id=name, config=camera)
        if names_world(text) and not Path(text).exists():
            return open_world(text, sampling, source_id=source_id)
    path = Path(uri).expanduser()
    refuse_missing(path)
    name = source_id or path.resolve().name
    if path.is_dir():
        return FolderSource(path, sampling, source_id=name)
    return VideoSource(path, sampling, source_id=name)
