"""Records as people and programs read them: lines on a terminal, JSON on stdout."""

import json
import sys
from collections.abc import Iterable, Sized
from typing import Any

import streammem
from memory_banks.editing import Forgotten
from streammem.names import format_time
from streammem.protocols import Encoder
from streammem.records import Answer, Eviction, Evidence


def print_json(value: Any) -> None:
    """Write `value` to stdout as indented JSON."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def note(text: str) -> None:
    """Tell the person at the terminal something, on stderr."""
    print(text, file=sys.stderr)


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Return a moment as JSON; the picture stays in the memory, under its entry's number."""
    return {
        "source": evidence.source_id,
        "start_s": round(evidence.start_s, 3),
        "end_s": round(evidence.end_s, 3),
        "peak_s": round(evidence.peak_s, 3),
        "score": round(evidence.score, 4),
        "presence": round(evidence.presence, 4),
        "label": evidence.label,
        "entry": evidence.entry_id,
    }


def answer_json(question: str, answer: Answer, encoder: Encoder) -> dict[str, Any]:
    """Return an answer as JSON with everything that made it."""
    return {
        "question": question,
        "answer": answer.text,
        "abstained": answer.abstained,
        "kind": answer.kind,
        "evidence": [evidence_json(moment) for moment in answer.evidence],
        "seconds": round(answer.seconds, 4),
        **run_record(answer.model, answer.seed, encoder),
    }


def run_record(model: str, seed: int, encoder: Encoder) -> dict[str, Any]:
    """Return what made an output: versions, models with revisions, seed."""
    return {
        "model": model,
        "encoder": encoder.name,
        "encoder_revision": encoder.revision,
        "seed": seed,
        "streammem": streammem.__version__,
    }


def eviction_json(eviction: Eviction) -> dict[str, Any]:
    """Return an eviction as JSON."""
    return {"entry": eviction.entry_id, "reason": eviction.reason, "into": eviction.into}


def forgotten_json(forgotten: Forgotten) -> dict[str, Any]:
    """Return an entry that was deleted as JSON."""
    return {
        "entry": forgotten.entry_id,
        "source": forgotten.source_id,
        "start_s": forgotten.start_s,
        "end_s": forgotten.end_s,
        "count": forgotten.count,
        "why": forgotten.why,
    }


def count_of(things: Sized, name: str) -> str:
    """Return how many there are in words: `1 entry`, `2 entries`, `1,000 sources`."""
    many = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{len(things):,} {name if len(things) == 1 else many}"


def span(start_s: float, end_s: float) -> str:
    """Return a span as people write it: one time where both ends round to the same."""
    start, end = format_time(start_s), format_time(end_s)
    return start if start == end else f"{start}-{end}"


def moment_lines(evidence: Iterable[Evidence], *, name_source: bool) -> list[str]:
    """Return one line a moment for the terminal."""
    return [
        f"  {span(moment.start_s, moment.end_s):<15} score {moment.score:.2f}"
        + (f"  present {moment.presence:.2f}" if moment.presence else "")
        + (f"  {moment.label}" if moment.label else "")
        + (f"  [{moment.source_id}]" if name_source else "")
        for moment in evidence
    ]


def megabytes(count: float) -> str:
    """Return a number of bytes in MB with one decimal."""
    return f"{count / 1e6:.1f} MB"
