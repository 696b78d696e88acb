"""The command line: `streammem VERB ...`. Each verb's code is loaded only when it runs."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from streammem import __version__
from streammem.errors import StreamMemError
from streammem.names import TIME_FORMS

Run = Callable[[argparse.Namespace], int]
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return 0 when done, 1 for a fault outside, 2 for wrong usage."""
    arguments = build_parser().parse_args(argv)
    module, _, function = arguments.run.partition(":")
    try:
        run: Run = getattr(importlib.import_module(module), function)
        code = run(arguments)
        sys.stdout.flush()
        return code
    except StreamMemError as error:
        print(f"streammem: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has left; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("streammem: stopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="streammem",
        description="Give a video stream a memory, and ask about anything it saw.",
        epilog="Exit codes: 0 done, 1 something went wrong, 2 wrong usage, 130 stopped by Ctrl-C. "
        f"Times are written like {TIME_FORMS}.",
    )
    parser.add_argument("--version", action="version", version=f"streammem {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_ingest(verbs)
    _add_ask(verbs)
    _add_search(verbs)
    _add_memories(verbs)
    _add_forget(verbs)
    _add_entries(verbs)
    _add_export(verbs)
    _add_batch(verbs)
    _add_models(verbs)
    _add_demo(verbs)
    doctor = _verb(verbs, "doctor", "apps.doctor:run", "say what is installed and what is missing")
    _add_json(doctor)
    return parser


def _verb(verbs: _Verbs, name: str, run: str, text: str) -> argparse.ArgumentParser:
    """Add a verb that runs `module:function`."""
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _entry(text: str) -> int:
    """Return the number of an entry, which lists write as `#12`."""
    try:
        return int(text.removeprefix("#"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"an entry is a number like 12, got {text!r}") from None


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="put data on stdout, all else on stderr"
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a verb that watches a source."""
    parser.add_argument("--fps", type=float, help="pictures looked at per second (default 1)")
    parser.add_argument(
        "--budget-mb", type=float, help="most it may take (default: as before, or 64)"
    )
    parser.add_argument(
        "--consolidation",
        metavar="NAME",
        help="how it makes room: surprise, merge, prototype, continuous, uniform, fifo, "
        "last_frames or none (default: as before, or surprise)",
    )
    parser.add_argument(
        "--encoder", help="embedded, or openclip:NAME/TAG (default: the memory's own, or embedded)"
    )
    parser.add_argument("--device", help="auto, cpu, cuda or mps, for torch models (default auto)")
    parser.add_argument("--config", metavar="TOML", help="settings file; flags win over it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_where(parser: argparse.ArgumentParser) -> None:
    """Add the flags that limit what a question may see."""
    parser.add_argument("--at", metavar="TIME", help="use nothing that came after this moment")
    parser.add_argument("--source", metavar="ID", help="only this source of the memory")


def _add_ingest(verbs: _Verbs) -> None:
    parser = _verb(verbs, "ingest", "apps.watch:run", "watch a source into a memory")
    parser.add_argument(
        "source",
        help="video file, folder of pictures, camera number, rtsp:// address, or a simulated "
        "world: maze:SEED, doom:SEED",
    )
    parser.add_argument("--memory", required=True, metavar="FILE", help="made if missing")
    parser.add_argument("--source-id", metavar="ID", help="name it has in the memory")
    parser.add_argument("--from", dest="start", metavar="TIME", help="skip what comes before")
    parser.add_argument("--to", dest="end", metavar="TIME", help="stop there")
    _add_how(parser)
    _add_json(parser)


def _add_ask(verbs: _Verbs) -> None:
    parser = _verb(
        verbs, "ask", "apps.ask:run", "answer a question, with the moments that prove it"
    )
    parser.add_argument("target", metavar="VIDEO_OR_MEMORY", help="a video is watched first, once")
    parser.add_argument("question")
    _add_where(parser)
    parser.add_argument("--report", metavar="HTML", help="write the answer as a page with pictures")
    _add_how(parser)
    _add_json(parser)


def _add_search(verbs: _Verbs) -> None:
    parser = _verb(
        verbs, "search", "apps.ask:search", "find the moments most like words or a picture"
    )
    parser.add_argument("memory", metavar="MEMORY")
    parser.add_argument("query", nargs="?", help="words to look for")
    parser.add_argument("--image", metavar="FILE", help="picture to look for")
    parser.add_argument("-k", type=int, default=5, help="how many moments (default 5)")
    _add_where(parser)
    _add_json(parser)


def _add_memories(verbs: _Verbs) -> None:
    parser = _verb(verbs, "memories", "apps.memories:run", "list memories and what they hold")
    parser.add_argument("memory", nargs="*", help="memory files (default: *.smem here)")
    parser.add_argument("--entries", action="store_true", help="list every entry too")
    parser.add_argument("--evictions", action="store_true", help="list what left, and why")
    parser.add_argument("--plot", metavar="PNG", help="draw what one memory held over time")
    parser.add_argument("--force", action="store_true", help="overwrite PNG")
    _add_json(parser)


def _add_forget(verbs: _Verbs) -> None:
    parser = _verb(
        verbs, "forget", "apps.edit:forget", "delete what was seen, for good, and list what went"
    )
    parser.add_argument("memory", metavar="MEMORY")
    parser.add_argument("--from", dest="start", metavar="TIME", help="default: the beginning")
    parser.add_argument("--to", dest="end", metavar="TIME", help="default: the end")
    parser.add_argument("--source", metavar="ID", help="only of this source")
    parser.add_argument(
        "--entry", type=_entry, nargs="+", metavar="ENTRY", help="these alone, by number"
    )
    parser.add_argument("--query", metavar="WORDS", help="what a search for these words finds")
    parser.add_argument("-k", type=int, default=5, help="moments that --query finds (default 5)")
    sure = parser.add_mutually_exclusive_group()
    sure.add_argument("--yes", action="store_true", help="what --query needs to delete")
    sure.add_argument("--dry-run", action="store_true", help="only list what would go")
    _add_json(parser)


def _add_entries(verbs: _Verbs) -> None:
    """Add the verbs that take entries of a memory by their numbers, and a copy of all."""
    for name, text in (
        ("pin", "keep entries from being merged or let go"),
        ("unpin", "let entries be merged or let go again"),
    ):
        parser = _verb(verbs, name, f"apps.edit:{name}", text)
        parser.add_argument("memory", metavar="MEMORY")
        parser.add_argument("entry", type=_entry, nargs="+", metavar="ENTRY")
    parser = _verb(verbs, "inspect", "apps.inspect:run", "show what an entry was made of")
    parser.add_argument("memory", metavar="MEMORY")
    parser.add_argument("entry", type=_entry, metavar="ENTRY")
    _add_json(parser)
    parser = _verb(verbs, "save", "apps.edit:save", "copy a memory, also while it is written")
    parser.add_argument("memory", metavar="MEMORY")
    parser.add_argument("--out", required=True, metavar="FILE", help="the copy, another .smem")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def _add_export(verbs: _Verbs) -> None:
    parser = _verb(verbs, "export", "apps.memories:export", "write a memory as JSON, CSV or NPZ")
    parser.add_argument("memory", metavar="MEMORY")
    parser.add_argument("--out", required=True, metavar="FILE", help=".json, .csv or .npz")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def _add_batch(verbs: _Verbs) -> None:
    parser = _verb(verbs, "batch", "apps.batch_qa:run", "answer a file of questions")
    parser.add_argument(
        "questions", help='JSONL, one {"id", "video", "question", "options"?} a line; - for stdin'
    )
    parser.add_argument(
        "--out", required=True, metavar="JSONL", help="one answer a line; - for stdout"
    )
    parser.add_argument("--resume", action="store_true", help="skip ids that FILE already answers")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument(
        "--memories", metavar="DIR", help="where memories are kept (default: beside FILE)"
    )
    _add_how(parser)


def _add_models(verbs: _Verbs) -> None:
    parser = _verb(verbs, "models", "apps.models:run", "list the models, or add one")
    parser.add_argument("action", nargs="?", choices=("list", "add"), default="list")
    parser.add_argument("name", nargs="?", help="the model to add, such as embedded")
    parser.add_argument(
        "--wheels", metavar="DIR", help="take the packages from here, not from the network"
    )
    _add_json(parser)


def _add_demo(verbs: _Verbs) -> None:
    parser = _verb(
        verbs, "demo", "apps.demo:run", "watch ten minutes of sample footage and ask about it"
    )
    parser.add_argument("--out", default="demo", metavar="DIR", help="default: demo")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the stream")
    parser.add_argument("--seed", type=int, default=0)


if __name__ == "__main__":
    sys.exit(main())
