"""`streammem doctor`: what is installed, what runs where and why, and what is missing."""

import argparse
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from typing import Any

import streammem
from apps.output import megabytes, print_json
from apps.settings import DEFAULT_ENCODER
from streammem import device, model_files
from streammem.sources.random_access import decord_status

_PACKAGES = (
    "av",
    "decord",
    "faiss-cpu",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "tokenizers",
    "torch",
    "open-clip-torch",
    "gradio",
)
_EXTRAS = {
    "demo": "skimage",
    "openclip": "open_clip",
    "web": "gradio",
    "world": "diffusers",
    "llm": "transformers",
    "ray": "ray",
}
_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4")
_LOW_DISK_BYTES = 1 << 30


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0 when asking works, 1 when something it needs is missing."""
    report = examine()
    if arguments.json:
        print_json(report)
    else:
        _print(report)
    return 0 if report["ready"] else 1


def examine() -> dict[str, Any]:
    """Return all that the report says, as JSON."""
    chosen = device.choose()
    home = model_files.home()
    free = _free_bytes(home)
    models = model_files.status()
    problems = [
        f"the model {state.name} is missing; add it with: {state.command}"
        for state in models
        if not state.ready and state.name == DEFAULT_ENCODER
    ]
    if free < _LOW_DISK_BYTES:
        problems.append(f"only {megabytes(free)} are free where models are kept, {home}")
    return {
        "ready": not problems,
        "streammem": streammem.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "device": {"kind": chosen.kind, "reason": chosen.reason},
        "onnxruntime": _onnx_providers(),
        "kernels": _kernels(chosen),
        "codecs": _codecs(),
        "decord": decord_status(),
        "models": [
            {"name": state.name, "ready": state.ready, "use": state.use, "add": state.command}
            for state in models
        ],
        "extras": {
            extra: importlib.util.find_spec(module) is not None for extra, module in _EXTRAS.items()
        },
        "home": str(home),
        "free_bytes": free,
        "problems": problems,
    }


def _print(report: dict[str, Any]) -> None:
    """Print the report for people."""
    print(f"streammem {report['streammem']}, Python {report['python']}, {report['platform']}")
    print(f"device: {report['device']['kind']} ({report['device']['reason']})")
    print(f"onnxruntime runs on: {', '.join(report['onnxruntime'])}")
    for kernel, backend in report["kernels"].items():
        print(f"{kernel} runs by: {backend}")
    print(f"random access: {report['decord']}")
    unread = [name for name, there in report["codecs"].items() if not there]
    print("codecs: " + ", ".join(name for name, there in report["codecs"].items() if there))
    if unread:
        print(f"  not readable here: {', '.join(unread)}")
    print("packages:")
    for name, version in report["packages"].items():
        print(f"  {name:<24} {version or '-'}")
    print("models:")
    for model in report["models"]:
        state = "ready" if model["ready"] else f"missing; add it with: {model['add']}"
        print(f"  {model['name']:<24} {state}")
    print("optional parts:")
    for extra, there in report["extras"].items():
        state = "present" if there else f"add it with: pip install 'streammem[{extra}]'"
        print(f"  {extra:<24} {state}")
    print(f"models and caches live in {report['home']} ({megabytes(report['free_bytes'])} free)")
    for problem in report["problems"]:
        print(f"! {problem}")
    print("ready to ask" if report["ready"] else "not ready to ask yet", file=sys.stdout)


def _version(package: str) -> str | None:
    """Return a package's version, None where it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _onnx_providers() -> list[str]:
    """Return what onnxruntime can run on, fastest first."""
    import onnxruntime

    remote = {"AzureExecutionProvider"}
    there = onnxruntime.get_available_providers()
    return [name.removesuffix("ExecutionProvider") for name in there if name not in remote]


def _kernels(chosen: device.Device) -> dict[str, str]:
    """Return by which form each operation of the world model runs here, and why."""
    if importlib.util.find_spec("torch") is None:
        return {"block scan": "none: torch is not installed"}
    import torch

    from streammem.ops.block_scan import choose

    tokens = torch.zeros(1, 1, 1, 1, 1, 64, device=chosen.kind)
    return {"block scan": str(choose(tokens, tokens))}


def _codecs() -> dict[str, bool]:
    """Return which of the common video codecs can be read."""
    import av

    return {
        name: name in av.codecs_available or f"lib{name}" in av.codecs_available for name in _CODECS
    }


def _free_bytes(folder: Any) -> int:
    """Return the free space of the disk that `folder` will be on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
