"""Files of packaged models: checked, added from wheels, and never trusted without their hash."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streammem import model_files
from streammem.errors import UsageError, WeightsError

WEIGHTS, WORDS = b"weights " * 1000, b"words\n" * 50


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Crafted(NamedTuple):
    """A manifest of one model `toy`, the folder with its wheel, and the home to add it to."""

    manifest: Path
    wheels: Path
    home: Path

    @property
    def wheel(self) -> Path:
        return self.wheels / "toy_model-1.0-py3-none-any.whl"

    @property
    def folder(self) -> Path:
        return self.home / "models" / "toy"

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Rewrite the manifest with its one package edited."""
        content = json.loads(self.manifest.read_text())
        edit(content["models"]["toy"]["packages"][0])
        self.manifest.write_text(json.dumps(content))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crafted:
    crafted = Crafted(tmp_path / "manifest.json", tmp_path / "wheels", tmp_path / "home")
    crafted.wheels.mkdir()
    with zipfile.ZipFile(crafted.wheel, "w") as archive:
        archive.writestr("toy/model.bin", WEIGHTS)
        archive.writestr("toy/words.txt", WORDS)
        archive.writestr("toy/__init__.py", "raise SystemExit('the wheel was run')")
        archive.writestr("../../escaped.txt", "out")
    files = [("weights.bin", "toy/model.bin", WEIGHTS), ("words.txt", "toy/words.txt", WORDS)]
    package = {
        "package": "toy-model",
        "version": "1.0",
        "wheel": crafted.wheel.name,
        "bytes": crafted.wheel.stat().st_size,
        "sha256": sha256(crafted.wheel.read_bytes()),
        "license": "none declared",
        "use": "a toy",
        "files": [
            {"name": name, "path": path, "bytes": len(content), "sha256": sha256(content)}
            for name, path, content in files
        ],
    }
    models = {"toy": {"use": "for tests", "packages": [package]}}
    crafted.manifest.write_text(json.dumps({"format": 1, "models": models}))
    monkeypatch.setenv("STREAMMEM_HOME", str(crafted.home))
    monkeypatch.setattr(model_files, "_manifest_path", lambda: crafted.manifest)
    return crafted


def test_a_model_is_added_from_a_folder_of_wheels(toy: Crafted) -> None:
    said: list[str] = []
    assert model_files.add("toy", wheels=toy.wheels, progress=said.append) == toy.folder
    assert model_files.locate("toy", "weights.bin").read_bytes() == WEIGHTS
    assert model_files.locate("toy", "words.txt").read_bytes() == WORDS
    assert said == ["toy-model 1.0: ready"]
    names = {path.name for path in toy.folder.iterdir()}
    assert names == {"weights.bin", "words.txt", "verified.json"}


def test_only_the_files_named_leave_the_wheel(toy: Crafted, tmp_path: Path) -> None:
    model_files.add("toy", wheels=toy.wheels)
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(tmp_path.rglob("__init__.py"))


def test_what_is_there_is_not_added_again(toy: Crafted) -> None:
    model_files.add("toy", wheels=toy.wheels)
    toy.wheel.unlink()
    said: list[str] = []
    model_files.add("toy", wheels=toy.wheels, progress=said.append)
    assert said == ["toy-model 1.0: already there"]


def test_a_missing_file_is_answered_with_the_command(toy: Crafted) -> None:
    with pytest.raises(WeightsError, match=r"is missing; add it with: streammem models add toy$"):
        model_files.locate("toy", "weights.bin")


def test_a_truncated_file_is_answered_with_the_command(toy: Crafted) -> None:
    model_files.add("toy", wheels=toy.wheels)
    (toy.folder / "weights.bin").write_bytes(WEIGHTS[:-1])
    with pytest.raises(WeightsError, match=r"has 7999 bytes, not 8000; add it with: .* toy$"):
        model_files.locate("toy", "weights.bin")


def test_a_changed_file_is_refused(toy: Crafted) -> None:
    model_files.add("toy", wheels=toy.wheels)
    model_files.locate("toy", "weights.bin")
    (toy.folder / "weights.bin").write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"has the sha256 \w{12}, not \w{12}; add it with"):
        model_files.locate("toy", "weights.bin")


def test_a_changed_file_is_replaced(toy: Crafted) -> None:
    model_files.add("toy", wheels=toy.wheels)
    (toy.folder / "words.txt").write_bytes(b"x" * len(WORDS))
    assert model_files.status()[0].missing == ("words.txt",)
    model_files.add("toy", wheels=toy.wheels)
    assert model_files.locate("toy", "words.txt").read_bytes() == WORDS


def test_a_hash_is_read_once(toy: Crafted, monkeypatch: pytest.MonkeyPatch) -> None:
    model_files.add("toy", wheels=toy.wheels)
    model_files.locate("toy", "weights.bin")

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(model_files, "_sha256", refuse)
    model_files.locate("toy", "weights.bin")
    os.utime(toy.folder / "weights.bin", ns=(1, 1))
    with pytest.raises(AssertionError, match="was read again"):
        model_files.locate("toy", "weights.bin")


@pytest.mark.parametrize("stamps", ["", "[]", "null", '{"weights.bin": 3}', "\x00"])
def test_damaged_stamps_are_not_believed(toy: Crafted, stamps: str) -> None:
    model_files.add("toy", wheels=toy.wheels)
    (toy.folder / "verified.json").write_text(stamps)
    assert model_files.locate("toy", "weights.bin").read_bytes() == WEIGHTS
    (toy.folder / "weights.bin").write_bytes(b"x" * len(WEIGHTS))
    (toy.folder / "verified.json").write_text(stamps)
    with pytest.raises(WeightsError, match="has the sha256"):
        model_files.locate("toy", "weights.bin")


def test_another_hash_in_the_manifest_makes_a_stamp_void(toy: Crafted) -> None:
    model_files.add("toy", wheels=toy.wheels)
    model_files.locate("toy", "weights.bin")
    toy.change(lambda package: package["files"][0].update(sha256="0" * 64))
    with pytest.raises(WeightsError, match="not 000000000000"):
        model_files.locate("toy", "weights.bin")


def test_status_says_what_is_missing_and_how_to_add_it(toy: Crafted) -> None:
    (before,) = model_files.status()
    assert not before.ready
    assert before.missing == ("weights.bin", "words.txt")
    assert (before.name, before.use) == ("toy", "for tests")
    assert before.command == "streammem models add toy"
    assert before.licenses == ("toy-model: none declared",)
    model_files.add("toy", wheels=toy.wheels)
    (after,) = model_files.status()
    assert after.ready and after.folder == toy.folder


def test_a_wheel_that_is_not_the_one_published_is_refused(toy: Crafted) -> None:
    with zipfile.ZipFile(toy.wheel, "a") as archive:
        archive.writestr("toy/more.py", "")
    with pytest.raises(WeightsError, match=r"not \w{64} as published; nothing was installed"):
        model_files.add("toy", wheels=toy.wheels)
    assert list(toy.folder.iterdir()) == []


def test_a_missing_wheel_is_answered_with_how_to_fetch_it(toy: Crafted, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match="is missing; fetch it with: pip download --no-deps toy"):
        model_files.add("toy", wheels=tmp_path / "none")


def test_a_file_in_the_wheel_that_is_not_the_one_published_is_refused(toy: Crafted) -> None:
    toy.change(lambda package: package["files"][1].update(sha256="0" * 64))
    with pytest.raises(WeightsError, match=r"toy/words\.txt in .* is not the file as published"):
        model_files.add("toy", wheels=toy.wheels)
    assert not (toy.folder / "words.txt").exists()


def test_a_wheel_without_the_file_is_refused(toy: Crafted) -> None:
    toy.change(lambda package: package["files"][1].update(path="toy/absent.txt"))
    with pytest.raises(WeightsError, match=r"is not the wheel as published: .*absent\.txt"):
        model_files.add("toy", wheels=toy.wheels)


def test_what_is_no_wheel_is_refused(toy: Crafted) -> None:
    toy.wheel.write_bytes(b"no zip file")
    toy.change(lambda package: package.update(sha256=sha256(b"no zip file")))
    with pytest.raises(WeightsError, match="is not the wheel as published: File is not a zip"):
        model_files.add("toy", wheels=toy.wheels)


@pytest.mark.parametrize("name", ["../outside.bin", "/outside.bin", "a/b", "..", ""])
def test_no_file_is_written_outside_its_folder(toy: Crafted, name: str, tmp_path: Path) -> None:
    toy.change(lambda package: package["files"][0].update(name=name))
    with pytest.raises(UsageError, match="which is not a plain name"):
        model_files.add("toy", wheels=toy.wheels)
    assert not list(tmp_path.rglob("outside.bin"))


def test_unknown_models_and_files_are_answered_with_those_known(toy: Crafted) -> None:
    with pytest.raises(UsageError, match="model 'toi' is not known; choose one of toy"):
        model_files.add("toi")
    with pytest.raises(UsageError, match=r"file of the model toy 'x' is not known; .*weights\.bin"):
        model_files.locate("toy", "x")


def test_too_little_disk_is_said_before_anything_is_fetched(
    toy: Crafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(toy.wheels)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    monkeypatch.setattr(model_files, "_download", lambda *_: pytest.fail("it was fetched"))
    with pytest.raises(WeightsError, match=r"MB free and toy-model needs .*STREAMMEM_HOME"):
        model_files.add("toy")


def test_a_folder_that_cannot_be_written_is_said(toy: Crafted) -> None:
    toy.home.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot be written: .*STREAMMEM_HOME"):
        model_files.add("toy", wheels=toy.wheels)


def test_no_network_is_answered_with_the_way_around_it(
    toy: Crafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def no_network(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        said = "WARNING: Retrying\nERROR: No matching distribution found for toy-model==1.0\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", no_network)
    with pytest.raises(WeightsError) as raised:
        model_files.add("toy")
    assert str(raised.value) == (
        "toy-model==1.0 cannot be fetched from PyPI: No matching distribution found for "
        "toy-model==1.0; without a network, fetch toy_model-1.0-py3-none-any.whl elsewhere and "
        "add it with --wheels FOLDER"
    )
    assert {"--no-deps", ":all:", "toy-model==1.0"} <= set(asked[0])
    assert list(toy.folder.iterdir()) == []


def test_a_fetched_wheel_is_taken_apart_and_dropped(
    toy: Crafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        shutil.copy(toy.wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", fetch)
    model_files.add("toy")
    assert model_files.status()[0].ready
    assert {path.suffix for path in toy.folder.iterdir()} == {".bin", ".txt", ".json"}


def test_without_pip_the_way_to_add_it_is_named(
    toy: Crafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.CompletedProcess([], 1, "", "python: No module named pip\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: gone)
    with pytest.raises(WeightsError, match=r"has no pip; add it with .* -m ensurepip"):
        model_files.add("toy")


def test_two_processes_may_add_the_same_model(toy: Crafted) -> None:
    script = (
        "import sys; from pathlib import Path; from streammem import model_files\n"
        "model_files._manifest_path = lambda: Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    model_files.add('toy', wheels=Path(sys.argv[2]))\n"
        "    assert model_files.locate('toy', 'weights.bin').stat().st_size == 8000\n"
        "    (model_files.models_folder() / 'toy' / 'words.txt').unlink(missing_ok=True)\n"
    )
    command = [sys.executable, "-c", script, str(toy.manifest), str(toy.wheels)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    model_files.add("toy", wheels=toy.wheels)
    assert model_files.status()[0].ready
    assert not list(toy.folder.glob(".adding-*"))


def test_the_home_is_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMMEM_HOME", "~/models-here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_files.home() == tmp_path / "models-here"
    monkeypatch.delenv("STREAMMEM_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert model_files.home() == tmp_path / "caches" / "streammem"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert model_files.home() == tmp_path / "Library" / "Caches" / "streammem"


def test_the_manifest_names_hash_size_and_licence_of_every_file() -> None:
    models = model_files.manifest()
    assert "embedded" in models
    for packages in models.values():
        for package in packages:
            assert package.license and package.use and package.files
            assert package.wheel.startswith(package.package.replace("-", "_"))
            for entry in (package, *package.files):
                assert entry.bytes > 0
                assert len(entry.sha256) == 64 and int(entry.sha256, 16)


def test_a_lost_manifest_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_files, "__file__", str(tmp_path / "streammem" / "model_files.py"))
    with pytest.raises(WeightsError, match=r"the manifest of models is not at .*install streammem"):
        model_files.manifest()
