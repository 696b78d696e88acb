"""What flags and a settings file say, as the configurations of the parts."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memory_banks.settings import MemoryConfig
from pipelines.ingest import IngestConfig
from streammem.config import build, read_toml
from streammem.errors import one_of
from streammem.names import parse_time
from streammem.sources.sampling import SamplingConfig

DEFAULT_ENCODER = "embedded"


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Which encoder, and where it runs; None is the memory's own, or the default."""

    name: str | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of every part of watching and asking.

    Of the `memory` these are the settings that were given; one that is there keeps its others.
    """

    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    memory: Mapping[str, Any] = field(default_factory=dict)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings: defaults, then the file given by --config, then the flags."""
    tables: dict[str, dict[str, Any]] = {}
    if arguments.config:
        tables = read_toml(Path(arguments.config))
    parts = ("sampling", "memory", "ingest", "encoder")
    for name in tables:
        if name not in parts:
            raise one_of(f"table in {arguments.config}", name, parts)
    times = {
        f"{name}_s": parse_time(text)
        for name in ("start", "end")
        if (text := getattr(arguments, name, None)) is not None
    }
    flags = {"budget_mb": arguments.budget_mb, "consolidation": arguments.consolidation}
    given = tables.get("memory", {}) | {name: it for name, it in flags.items() if it is not None}
    memory = build(MemoryConfig, given)
    return Settings(
        sampling=build(SamplingConfig, tables.get("sampling", {}), {"fps": arguments.fps}, times),
        memory={name: getattr(memory, name) for name in given},
        ingest=build(IngestConfig, tables.get("ingest", {})),
        encoder=build(
            EncoderConfig,
            tables.get("encoder", {}),
            {"name": arguments.encoder, "device": arguments.device},
        ),
    )
