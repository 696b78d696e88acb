"""Opening a memory, on disk or in RAM."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory_banks.budget import budget_of
from memory_banks.faults import damaged
from memory_banks.memory import Memory
from memory_banks.opening import Mode, is_fresh, missing
from memory_banks.settings import EncoderIdentity, MemoryConfig, check_same, identity
from memory_banks.store import Store
from streammem.errors import UsageError
from streammem.protocols import Encoder

__all__ = ["EncoderIdentity", "Memory", "MemoryConfig", "open_memory"]


def open_memory(
    path: Path | None,
    *,
    encoder: Encoder | EncoderIdentity | None = None,
    config: MemoryConfig | Mapping[str, Any] | None = None,
    mode: Mode = "read",
) -> Memory:
    """Open the memory at `path`, or a new one in RAM where that is None.

    For writing, a file that is missing is made, and no other process may be writing to it; for
    reading it has to be there. `encoder` may be left out where the file names it; another one
    than the file's is refused. `config` wins over the file's where the memory can be written; a
    mapping changes the settings that it names alone.
    """
    wanted = None if encoder is None else identity(encoder)
    if path is None or (mode == "write" and is_fresh(path)):
        if wanted is None and path is not None:
            raise missing(path)
        if wanted is None:
            raise UsageError("a new memory needs the encoder whose features it will hold")
        budget_of(_changed(MemoryConfig(), config), wanted)
    store = Store(path, mode=mode)
    try:
        with store.reading():
            found = store.metadata()
        if "encoder" not in found:
            return _begin(store, wanted, _changed(MemoryConfig(), config))
        try:
            made_with = EncoderIdentity(**found["encoder"])
            settings = MemoryConfig(**found["config"])
        except (KeyError, TypeError) as error:
            raise damaged(path, "its settings cannot be read") from error
        if wanted is not None:
            check_same(path, made_with, wanted)
        if store.writable:
            settings = _changed(settings, config)
        return Memory(store, encoder=made_with, config=settings)
    except BaseException:
        store.close()
        raise


def _changed(
    settings: MemoryConfig, config: MemoryConfig | Mapping[str, Any] | None
) -> MemoryConfig:
    """Return `settings` as `config` has them."""
    return config if isinstance(config, MemoryConfig) else replace(settings, **(config or {}))


def _begin(store: Store, encoder: EncoderIdentity | None, config: MemoryConfig) -> Memory:
    """Return a memory that holds nothing yet, with its settings already durable."""
    if encoder is None or not store.writable:
        assert store.path is not None
        raise missing(store.path)
    memory = Memory(store, encoder=encoder, config=config)
    memory.checkpoint()
    return memory
