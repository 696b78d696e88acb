"""Finds and loads open_clip models from files that are on this machine, never from a network."""

import contextlib
import difflib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streammem.errors import MissingExtra, UsageError, WeightsError
from streammem.names import MODEL_FORMS, ModelName

_SUFFIXES: Final = (".safetensors", ".bin", ".pt", ".pth")
_HUB_FILES: Final = (
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_PREPROCESSING: Final = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's name in open_clip, its weights file, and what their tag says of them."""

    model: str
    path: Path
    tag: dict[str, Any]

    def revision(self) -> str:
        """Return a hash of the weights and of all that decides what is made of them."""
        import open_clip

        settings = [self.model, open_clip.get_model_config(self.model), self.tag]
        text = json.dumps(settings, sort_keys=True)
        with self.path.open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(f"{weights} {text}".encode()).hexdigest()[:12]


def import_open_clip() -> Any:
    """Return the module open_clip, without what its parts warn of while they load."""
    try:
        with quiet():
            import open_clip
    except ImportError as error:
        raise MissingExtra("open_clip_torch", "openclip") from error
    return open_clip


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of open_clip, timm and torch from users, who can do nothing about them.

    A handler at the root keeps `logging.info`, as open_clip calls it, from setting up logging.
    """
    silent = logging.NullHandler()
    logging.getLogger().addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(silent)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Keep the hub's library to its cache: what is missing fails instead of being fetched."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def find(name: ModelName) -> Checkpoint:
    """Return the checkpoint that `openclip:NAME/TAG` or `openclip:NAME//path` means."""
    open_clip = import_open_clip()
    # A path may hold an `@`, which names of other families end at.
    text = str(name).removeprefix(f"{name.family}:")
    model, _, rest = text.partition("/")
    if text == name.family or not model:
        raise UsageError(f"encoder {str(name)!r} names no model; write it like {MODEL_FORMS}")
    known = open_clip.list_models()
    if model not in known:
        near = difflib.get_close_matches(model, known, n=4, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}" if near else f"such as {known[0]}"
        raise UsageError(
            f"encoder {str(name)!r}: open_clip knows no model {model!r}; {hint}? All of them: "
            'python -c "import open_clip; print(open_clip.list_models())"'
        )
    if rest.startswith(("/", ".", "~")) or Path(rest).is_absolute():
        return Checkpoint(model, _local(Path(rest).expanduser()), {})
    return _cached(open_clip, model, rest)


def load(checkpoint: Checkpoint, *, device: str) -> Any:
    """Return the model on `device`, in evaluation mode; a pickle in its file is never run."""
    open_clip = import_open_clip()
    try:
        with quiet(), offline():
            model = open_clip.create_model(
                checkpoint.model,
                pretrained=str(checkpoint.path),
                device=device,
                weights_only=True,
                force_quick_gelu=bool(checkpoint.tag.get("quick_gelu")),
                force_preprocess_cfg={
                    key: checkpoint.tag[key] for key in _PREPROCESSING if key in checkpoint.tag
                },
            )
    except Exception as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"weights {checkpoint.path} cannot be loaded into the open_clip model "
            f"{checkpoint.model}: {reason[:200]}"
        ) from error
    return model.eval().requires_grad_(False)


def load_tokenizer(model: str) -> Any:
    """Return what turns texts into the tokens of `model`."""
    open_clip = import_open_clip()
    try:
        with quiet(), offline():
            return open_clip.get_tokenizer(model)
    except Exception as error:
        wanted = open_clip.get_model_config(model)["text_cfg"].get("hf_tokenizer_name", model)
        raise WeightsError(
            f"the tokenizer of the open_clip model {model} is not on this machine; it needs: "
            f"pip install transformers sentencepiece && hf download {wanted}"
        ) from error


def _local(path: Path) -> Path:
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"weights {path} must be a file ending in {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise WeightsError(f"weights {path} are not there; name a file of this machine")
    return path


def _cached(open_clip: Any, model: str, tag: str) -> Checkpoint:
    """Return the weights of a tag if the hub's cache holds them."""
    from huggingface_hub import try_to_load_from_cache

    tags = open_clip.list_pretrained_tags_by_model(model)
    found = open_clip.get_pretrained_cfg(model, tag)
    if not found:
        raise UsageError(
            f"open_clip model {model} has no weights {tag!r}; choose one of "
            f"{', '.join(tags) or 'none'}, or a file: openclip:{model}//path/to/weights.safetensors"
        )
    repository, _, file = str(found.get("hf_hub", "")).rpartition("/")
    for candidate in [str(Path(file).with_suffix(".safetensors")), file] if file else _HUB_FILES:
        path = try_to_load_from_cache(repository, candidate)
        if isinstance(path, str):
            return Checkpoint(model, Path(path), dict(found))
    fetch = f"import open_clip; open_clip.create_model('{model}', pretrained='{tag}')"
    raise WeightsError(
        f"the weights openclip:{model}/{tag} are not on this machine, and nothing is fetched "
        f'unasked; fetch them with: python -c "{fetch}" (or: hf download {repository}), or name '
        f"a file: openclip:{model}//path/to/weights.safetensors"
    )
