"""Questions in, answers out, one row each."""

import json
from pathlib import Path

import pytest

from apps.batch_qa import BadRow, read_question
from apps.cli import main
from streammem.errors import UsageError
from tests.clips import make_clip
from tests.models import needs_models


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3 is not JSON"),
        ("[]", "must be an object"),
        ('{"question": "q"}', "needs 'video' as text, got None"),
        ('{"video": "v", "question": "  "}', "needs 'question' as text"),
        ('{"video": "v", "question": "q", "options": "A"}', "options must be a list of texts"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        read_question(line, 3)


def test_a_line_is_read_whole() -> None:
    line = '{"video": "v.mp4", "question": "q?", "options": ["a", "b"], "at": "1:30"}'
    question = read_question(line, 1)
    assert (question.video, question.options, question.at_s) == ("v.mp4", ("a", "b"), 90.0)
    with pytest.raises(UsageError, match="time 'soon'"):
        read_question('{"video": "v", "question": "q", "at": "soon"}', 1)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    clip = make_clip(folder / "colours.mp4", seconds=6)
    rows: list[object] = [
        {"id": "a", "video": str(clip), "question": "is there an elephant?"},
        {"id": "b", "video": str(folder / "absent.mp4"), "question": "is there a dog?"},
        "not an object",
        {"id": "c", "video": str(clip), "question": "what is it?", "options": ["A. cat", "B. dog"]},
        {"id": "a", "video": str(clip), "question": "the same id again"},
    ]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@needs_models
def test_each_line_has_its_row_and_a_bad_one_its_error(questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    assert main(["batch", str(questions), "--out", str(out), "--quiet"]) == 0
    rows = rows_of(out)
    assert [row["id"] for row in rows] == ["a", "b", "line-3", "c", "a"]
    assert [row["error"] is None for row in rows] == [True, False, False, True, False]
    assert "absent.mp4" in str(rows[1]["error"])
    assert rows[3]["answer"] in ("A. cat", "B. dog")
    assert all(
        {"answer", "evidence", "abstained", "seconds", "model", "seed"} <= {*r} for r in rows
    )
    assert len(list(tmp_path.glob("answers.jsonl.memories/*.smem"))) <= 2


@needs_models
def test_resume_answers_only_what_is_missing(questions: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert main(["batch", str(questions), "--out", str(whole), "--quiet"]) == 0
    lines = whole.read_text().splitlines(keepends=True)
    cut.write_text("".join(lines[:2]) + lines[2][:10])
    assert main(["batch", str(questions), "--out", str(cut), "--quiet"]) != 0
    assert main(["batch", str(questions), "--out", str(cut), "--quiet", "--resume"]) == 0
    assert [row["id"] for row in rows_of(cut)] == ["a", "b", "line-3", "c"]
    assert cut.read_text().startswith("".join(lines[:2]))


def test_a_missing_file_of_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "o.jsonl")]) == 2
    assert "no.jsonl cannot be read" in capsys.readouterr().err
