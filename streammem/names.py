"""Times, spans and model names as people write them, parsed in one place."""

import re
from dataclasses import dataclass

from streammem.errors import UsageError

_CLOCK = re.compile(r"^(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)$")
_SECONDS = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?)$")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
TIME_FORMS = "95, 95.5s, 2min, 1:35, 00:01:35.500"


def parse_time(text: str) -> float:
    """Return the seconds that `text` names; `TIME_FORMS` lists what is understood."""
    words = text.strip().lower()
    if found := _SECONDS.match(words):
        return float(found[1]) * _UNIT_S[found[2][0]]
    found = _CLOCK.match(words)
    if found is None:
        raise UsageError(f"time {text!r} is not understood; write it like {TIME_FORMS}")
    hours, minutes, seconds = int(found[1] or 0), int(found[2] or 0), float(found[3])
    if (found[2] and seconds >= 60) or (found[1] and minutes >= 60):
        raise UsageError(f"time {text!r} has a part of 60 or more; write it like {TIME_FORMS}")
    return hours * 3600.0 + minutes * 60.0 + seconds


def format_time(seconds: float, *, decimals: int = 0) -> str:
    """Return `seconds` as m:ss or h:mm:ss, rounded to `decimals`."""
    sign = "-" if seconds < 0 else ""
    ticks = round(abs(seconds) * 10**decimals)
    whole, rest = divmod(ticks, 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    clock = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return f"{sign}{clock}" + (f".{rest:0{decimals}d}" if decimals else "")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model as text: `embedded`, `openclip:ViT-B-32/laion2b_s34b_b79k`, `hf:org/name@revision`.

    `family` stands before the colon, `model` after it, `revision` after an `@`, each "" if absent.
    """

    family: str
    model: str = ""
    revision: str = ""

    def __str__(self) -> str:
        text = f"{self.family}:{self.model}" if self.model else self.family
        return f"{text}@{self.revision}" if self.revision else text


MODEL_FORMS = "embedded, openclip:NAME/TAG, openclip:NAME//path/to/weights.safetensors"


def parse_model(text: str) -> ModelName:
    """Return the parts of a model's name; `MODEL_FORMS` lists the forms."""
    family, colon, rest = text.strip().partition(":")
    model, _, revision = rest.partition("@")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", family) or (colon and not model):
        raise UsageError(f"model {text!r} is not understood; write it like {MODEL_FORMS}")
    return ModelName(family, model, revision)
