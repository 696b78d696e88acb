"""`streammem batch`: a file of questions in, a file of answers out, one line each.

In:  {"id", "video", "question", "options"?, "at"?}
Out: {"id", "answer", "evidence": [{"start_s", "end_s", "score", "frame"}], "abstained",
      "seconds", "model", "seed", "error", ...}

Each video is watched once, whatever the number of its questions. A question that fails has its
`error` filled and the others go on.
"""

import argparse
import hashlib
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from apps.ask import SEED
from apps.output import note, run_record
from apps.settings import DEFAULT_ENCODER, Settings, read_settings
from apps.watch import watch
from memory_banks.tiered import Memory, open_memory
from pipelines.answer import View
from pipelines.options import answer_with_options
from streammem.answerers.choose import choose_answerer
from streammem.encoders.choose import choose_encoder
from streammem.errors import SourceError, StreamMemError, UsageError
from streammem.names import parse_time
from streammem.protocols import Encoder
from streammem.records import Evidence


class BadRow(StreamMemError):
    """A line that is not a question."""


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the input; `at_s` is the moment it is asked at, None for the end."""

    video: str
    text: str
    options: tuple[str, ...] = ()
    at_s: float | None = None


def run(arguments: argparse.Namespace) -> int:
    """Answer every question; return 0 also where single rows failed, they say so themselves."""
    settings = read_settings(arguments)
    out = None if arguments.out == "-" else Path(arguments.out)
    done = _prepare(out, resume=arguments.resume, force=arguments.force)
    folder = Path(arguments.memories) if arguments.memories else _beside(out)
    folder.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    failed = 0
    with ExitStack() as stack:
        lines = stack.enter_context(_open_in(arguments.questions))
        sink = sys.stdout if out is None else stack.enter_context(out.open("a", encoding="utf-8"))
        encoder = choose_encoder(
            settings.encoder.name or DEFAULT_ENCODER, device=settings.encoder.device
        )
        videos = stack.enter_context(Videos(folder, encoder, settings, quiet=arguments.quiet))
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            name = _id_of(_fields_or_nothing(line), number)
            if name in done:
                continue
            row = _row(line, number, videos, repeated=name in written)
            if videos.stopped:
                break
            sink.write(json.dumps({"id": name, **row}, ensure_ascii=False) + "\n")
            sink.flush()
            written.add(name)
            failed += row["error"] is not None
    note(f"{len(written)} rows written, {failed} with an error" + (f" to {out}" if out else ""))
    if videos.stopped:
        note("stopped; the same command with --resume goes on from there")
        return 130
    return 0


class Videos:
    """The memories of a batch's videos, each watched once; the last one used stays open."""

    def __init__(self, folder: Path, encoder: Encoder, settings: Settings, *, quiet: bool) -> None:
        self.encoder = encoder
        self.stopped = False
        self._folder = folder
        self._settings = settings
        self._quiet = quiet
        self._failed: dict[str, str] = {}
        self._video: str | None = None
        self._memory: Memory | None = None

    def memory(self, video: str) -> Memory:
        """Return the memory of `video`, watching it first where that has not been done."""
        if video in self._failed:
            raise SourceError(self._failed[video])
        if self._memory is None or self._video != video:
            self.close()
            try:
                self._memory, self._video = self._watched(video), video
            except StreamMemError as error:
                self._failed[video] = str(error)
                raise
        return self._memory

    def _watched(self, video: str) -> Memory:
        name = f"{Path(video).stem}-{hashlib.sha256(video.encode()).hexdigest()[:8]}.smem"
        memory = open_memory(
            self._folder / name, encoder=self.encoder, config=self._settings.memory, mode="write"
        )
        try:
            watched = watch(video, self.encoder, memory, self._settings, quiet=self._quiet)
        except BaseException:
            memory.close()
            raise
        if watched.stopped_at_s is not None:
            self.stopped = True
            memory.close()
            raise SourceError(f"{video} was not watched to its end: stopped")
        return memory

    def close(self) -> None:
        """Close the memory that is open."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def __enter__(self) -> "Videos":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_question(line: str, number: int) -> Question:
    """Return the question on line `number`, or say what is wrong with it."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadRow(f"line {number} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadRow(f"line {number} must be an object with id, video and question")
    for name in ("video", "question"):
        if not isinstance(fields.get(name), str) or not fields[name].strip():
            raise BadRow(f"line {number} needs {name!r} as text, got {fields.get(name)!r}")
    options = fields.get("options") or []
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise BadRow(f"line {number}: options must be a list of texts, got {options!r}")
    at = fields.get("at")
    return Question(
        video=fields["video"],
        text=fields["question"],
        options=tuple(options),
        at_s=None if at is None else parse_time(str(at)),
    )


def _row(line: str, number: int, videos: Videos, *, repeated: bool) -> dict[str, Any]:
    """Return the output row of one line, but for its id."""
    try:
        if repeated:
            raise BadRow(f"line {number} has an id that an earlier line has")
        question = read_question(line, number)
        memory = videos.memory(question.video)
        view = View(memory, videos.encoder, at_s=question.at_s)
        if question.options:
            answer = answer_with_options(view, question.text, question.options)
        else:
            answer = choose_answerer("embedded").answer(question.text, view)
        rates = {record.source_id: record.info.fps for record in memory.sources()}
        return {
            "answer": answer.text,
            "evidence": [_evidence(moment, rates) for moment in answer.evidence],
            "abstained": answer.abstained,
            "seconds": round(answer.seconds, 4),
            **run_record(answer.model, answer.seed, videos.encoder),
            "error": None,
        }
    except StreamMemError as error:
        return {
            "answer": None,
            "evidence": [],
            "abstained": True,
            "seconds": 0.0,
            **run_record("", SEED, videos.encoder),
            "error": str(error),
        }


def _evidence(moment: Evidence, rates: dict[str, float | None]) -> dict[str, Any]:
    """Return a moment as the output has it; `frame` is the number of its strongest picture."""
    rate = rates.get(moment.source_id)
    return {
        "start_s": round(moment.start_s, 3),
        "end_s": round(moment.end_s, 3),
        "score": round(moment.score, 4),
        "frame": None if rate is None else round(moment.peak_s * rate),
    }


def _fields_or_nothing(line: str) -> dict[str, Any]:
    """Return a line's fields, none where it is not a JSON object."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _id_of(fields: dict[str, Any], number: int) -> str:
    """Return a row's id, its line number where it has none."""
    name = fields.get("id")
    return f"line-{number}" if name is None else str(name)


def _prepare(out: Path | None, *, resume: bool, force: bool) -> set[str]:
    """Make the output ready to append to; return the ids it answers already."""
    if out is None or not out.exists():
        return set()
    if not resume and not force:
        raise UsageError(f"{out} exists; go on with --resume or start over with --force")
    if force and not resume:
        out.unlink()
        return set()
    whole = out.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        note(f"{out} ended in half a line; that row is answered again")
        with out.open("r+b") as file:
            file.truncate(len(kept))
    rows = (_fields_or_nothing(line) for line in kept.decode("utf-8").splitlines())
    return {str(row["id"]) for row in rows if "id" in row}


def _open_in(name: str) -> TextIO:
    """Open the questions; `-` is stdin."""
    if name == "-":
        return sys.stdin
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"questions file {name} cannot be read: {error.strerror}") from error


def _beside(out: Path | None) -> Path:
    """Return the default folder of the memories."""
    return Path("memories") if out is None else out.with_name(out.name + ".memories")
