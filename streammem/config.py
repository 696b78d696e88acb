"""Settings: one frozen dataclass beside each part, filled from one TOML file and from flags.

A file has one table a part, its keys named like the dataclass's fields:

    [sampling]
    fps = 1.0

    [memory]
    budget_mb = 64

A flag wins over the file, the file over the default.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from streammem.errors import UsageError, one_of

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of the settings file at `path`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"settings file {path} is not TOML: {error}") from error
    loose = [key for key, value in tables.items() if not isinstance(value, dict)]
    if loose:
        raise UsageError(f"setting {loose[0]!r} in {path} stands outside a table like [memory]")
    return tables


def build(part: type[T], *layers: Mapping[str, Any]) -> T:
    """Return the dataclass `part` filled from `layers`, later ones winning; None is "not given"."""
    allowed = {field.name for field in dataclasses.fields(part)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(part)
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in allowed:
                raise one_of(f"setting of {part.__name__}", name, sorted(allowed))
            if value is not None:
                values[name] = _fitted(name, value, hints[name])
    return part(**values)


def _fitted(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type of the field, or refuse it."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise one_of(name, value, map(str, typing.get_args(hint)))
        return value
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        raise UsageError(f"{name} must be {wanted}, got {value!r}")
    return value
