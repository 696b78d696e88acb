"""Which device runs the models, and why; the choice is a value that can be printed."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

from streammem.errors import UsageError, one_of

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Device:
    """A chosen device and the reason for the choice."""

    kind: Literal["cpu", "cuda", "mps"]
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.reason})"


def choose(wanted: str = "auto") -> Device:
    """Return the device to use for torch models; `auto` takes the fastest that is there."""
    if wanted not in DEVICES:
        raise one_of("device", wanted, DEVICES)
    if wanted == "cpu":
        return Device("cpu", "asked for")
    if importlib.util.find_spec("torch") is None:
        if wanted == "auto":
            return Device("cpu", "torch is not installed, the embedded models run by onnxruntime")
        raise UsageError(f"device {wanted} needs torch; add it with: pip install 'streammem[gpu]'")
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted != "auto":
        if not there[wanted]:
            raise UsageError(f"device {wanted} is not available here; choose auto or cpu")
        return Device("cuda" if wanted == "cuda" else "mps", "asked for")
    if there["cuda"]:
        return Device("cuda", torch.cuda.get_device_name())
    if there["mps"]:
        return Device("mps", "Apple GPU")
    return Device("cpu", "no CUDA or Apple GPU is available")
