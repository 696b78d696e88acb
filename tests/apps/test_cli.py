"""The command line on a good day: every verb on a small real clip."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from apps.cli import build_parser, main
from streammem.sources.random_access import choose_reader
from tests.clips import make_clip
from tests.models import needs_models


def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert {"ingest", "ask", "search", "memories", "forget", "export", "doctor", "batch"} <= {
        *verbs  # type: ignore[misc]
    }
    for verb in verbs:  # type: ignore[union-attr]
        with pytest.raises(SystemExit) as leaving:
            main([verb, "--help"])
        assert leaving.value.code == 0
    assert "usage: streammem ingest" in capsys.readouterr().out


def test_an_unknown_verb_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["look"])
    assert leaving.value.code == 2
    assert "invalid choice: 'look'" in capsys.readouterr().err


def test_help_loads_no_heavy_package() -> None:
    heavy = ("numpy", "av", "cv2", "torch")
    code = f"import sys, apps.cli; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "colours.mp4", seconds=12)


@pytest.fixture(scope="module")
def memory(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memories") / "colours.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    return path


@needs_models
def test_ingest_says_what_it_did_and_does_it_once(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--json"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["frames"] == 12
    assert report["gaps"] == []
    assert report["encoder"] == "embedded" and report["encoder_revision"]
    assert 0 < report["memory_bytes"] <= report["budget_bytes"] == 64_000_000
    assert "remembered 12 frames" in said.err
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    assert "already whole" in capsys.readouterr().err


@needs_models
def test_ask_gives_data_on_stdout_and_a_page(
    memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "answer.html"
    words = ["ask", str(memory), "is there an elephant?", "--json", "--report", str(page)]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["abstained"] or answer["answer"].lower().startswith("no")
    assert {"question", "evidence", "model", "encoder_revision", "seed", "streammem"} <= {*answer}
    assert "is there an elephant?" in page.read_text()
    assert page.with_suffix(".png").stat().st_size > 1000


@needs_models
def test_ask_at_a_moment_uses_nothing_later(
    memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(memory), "describe the video", "--at", "4", "--json"]) == 0
    for moment in json.loads(capsys.readouterr().out)["evidence"]:
        assert moment["end_s"] <= 4


@needs_models
def test_ask_a_video_watches_it_once(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "colours.mp4"
    video.write_bytes(clip.read_bytes())
    assert main(["ask", str(video), "what is in the video?", "--quiet"]) == 0
    assert "remembered in" in capsys.readouterr().err
    assert main(["ask", str(video), "what is shown at 0:03?", "--quiet"]) == 0
    assert "remembered in" not in capsys.readouterr().err


@needs_models
def test_search_by_picture_finds_the_second_it_was_shown(
    clip: Path, memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "shown.png"
    reader = choose_reader(clip)
    cv2.imwrite(str(picture), reader.frame_at(2.4).rgb[:, ::-1, ::-1])
    reader.close()
    assert main(["search", str(memory), "--image", str(picture), "--json", "-k", "1"]) == 0
    moment = json.loads(capsys.readouterr().out)["moments"][0]
    assert 2 <= moment["peak_s"] % 5 < 3


def test_search_needs_words_or_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "m.smem"]) == 2
    assert "either words to look for or --image" in capsys.readouterr().err


@needs_models
def test_memories_lists_what_is_held(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memories", str(memory), "--json", "--entries"]) == 0
    (held,) = json.loads(capsys.readouterr().out)
    assert held["frames_seen"] == 12
    assert sum(entry["count"] for entry in held["entries"]) == 12
    assert [source["finished"] for source in held["sources"]] == [True]
    assert main(["memories", str(memory)]) == 0
    assert "12 frames" in capsys.readouterr().out


@needs_models
@pytest.mark.parametrize("form", ["json", "csv", "npz"])
def test_export_writes_each_form_once(
    memory: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"m.{form}"
    assert main(["export", str(memory), "--out", str(out)]) == 0
    assert out.stat().st_size > 100
    assert main(["export", str(memory), "--out", str(out)]) != 0
    assert "--force" in capsys.readouterr().err
    assert main(["export", str(memory), "--out", str(out), "--force"]) == 0
    if form == "csv":
        with out.open(newline="") as file:
            assert sum(int(row["count"]) for row in csv.DictReader(file)) == 12


@needs_models
def test_forget_takes_a_span_out(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.smem"
    assert main(["ingest", str(clip), "--memory", str(path), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["forget", str(path), "--from", "3", "--to", "0:06", "--json"]) == 0
    gone = json.loads(capsys.readouterr().out)
    assert gone and all(one["why"] == "inside the span" for one in gone)
    assert main(["memories", str(path), "--json", "--entries"]) == 0
    (held,) = json.loads(capsys.readouterr().out)
    assert all(entry["end_s"] < 3 or entry["start_s"] > 6 for entry in held["entries"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to forget"),
        (["--from", "5", "--to", "3"], "is not after"),
    ],
)
def test_forget_asks_what(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forget", "m.smem", *words]) == 2
    assert message in capsys.readouterr().err


def test_doctor_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (code == 0) == report["ready"]
    assert report["device"]["reason"]
    assert report["codecs"]["h264"]
    assert report["free_bytes"] > 0
    main(["doctor"])
    assert "random access:" in capsys.readouterr().out
