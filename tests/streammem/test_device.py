"""The device is chosen with a reason."""

import importlib.util

import pytest

from streammem import device
from streammem.errors import UsageError


def test_the_choice_gives_its_reason() -> None:
    chosen = device.choose()
    assert chosen.reason
    assert str(chosen).startswith(chosen.kind)


def test_cpu_can_be_asked_for() -> None:
    assert device.choose("cpu") == device.Device("cpu", "asked for")


def test_an_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="choose one of auto, cpu, cuda, mps"):
        device.choose("tpu")


def test_without_torch_the_choice_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert device.choose().kind == "cpu"
    with pytest.raises(UsageError, match="needs torch"):
        device.choose("cuda")
