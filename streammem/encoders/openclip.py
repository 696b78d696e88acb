"""Any CLIP model that open_clip can build, with weights that are on this machine.

Pictures and words were trained into one space (Radford et al., arXiv:2103.00020), so a key is the
picture's unit embedding and a query the text's.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image as Pictures

from streammem.device import choose
from streammem.encoders import openclip_weights as weights
from streammem.encoders.class_texts import class_texts
from streammem.encoders.class_words import read_class_words
from streammem.errors import WeightsError
from streammem.model_files import locate
from streammem.names import ModelName
from streammem.records import Features, Frame, Vector

_BATCH: Final = 16
_TEXT_BATCH: Final = 64
_PROMPT: Final = "a photo of {}."
# What a picture may show instead of what is asked for: broad, and together nearly anything.
_ELSE: Final = (
    "a person",
    "a crowd of people",
    "an animal",
    "a plant",
    "food on a table",
    "a vehicle",
    "a building",
    "a street",
    "a room",
    "a landscape",
    "the sky",
    "water",
    "a tool or machine",
    "a screen with text",
    "a pattern or texture",
    "something dark and blurred",
)
_EVERYDAY: Final = (
    *("person", "crowd", "face", "hand", "baby", "dog", "cat", "bird", "horse", "fish", "insect"),
    *("car", "bus", "truck", "bicycle", "motorcycle", "train", "boat", "aeroplane", "road"),
    *("house", "building", "bridge", "street", "room", "kitchen", "office", "shop", "stairs"),
    *("table", "chair", "bed", "sofa", "lamp", "door", "window", "cup", "plate", "bottle", "knife"),
    *("fruit", "vegetable", "bread", "meal", "drink", "book", "paper", "phone", "computer"),
    *("screen", "keyboard", "television", "camera", "clock", "bag", "shoe", "shirt", "hat", "toy"),
    *("ball", "tool", "machine", "tree", "flower", "grass", "forest", "mountain", "beach", "sea"),
    *("river", "lake", "snow", "sky", "cloud", "sun", "moon", "fire", "rain", "night", "map"),
)


class OpenClipEncoder:
    """Encodes frames and words by the open_clip model and weights that `model` names.

    `device` is auto, cpu, cuda or mps. Numbers are float32 everywhere, so that a memory made on one
    device is right on another.
    """

    def __init__(self, model: ModelName, *, device: str = "auto") -> None:
        checkpoint = weights.find(model)
        transform = weights.import_open_clip().transform
        chosen = choose(device)
        self.name = str(model)
        self.revision = checkpoint.revision()
        self.device = str(chosen)
        self._kind = chosen.kind
        self._tokenize = weights.load_tokenizer(checkpoint.model)
        self._model = weights.load(checkpoint, device=chosen.kind)
        with weights.quiet():
            settings = transform.PreprocessCfg(**self._model.visual.preprocess_cfg)
            self._prepare = transform.image_transform_v2(settings, is_train=False)
        self._scale = float(self._model.logit_scale.detach().exp())
        self._else: Vector | None = None
        self._names: tuple[tuple[str, ...], Vector] | None = None
        self.dim = self.encode_text([""]).shape[1]
        self.visual_dim = self.dim

    def encode(self, frames: Sequence[Frame]) -> list[Features]:
        """Return `Features(key [dim], visual [dim])` for each frame, in order; both are the same.

        Frames are taken 16 at a time.
        """
        import torch

        features: list[Features] = []
        for start in range(0, len(frames), _BATCH):
            pictures = [Pictures.fromarray(frame.rgb) for frame in frames[start : start + _BATCH]]
            pixels = torch.stack([self._prepare(picture) for picture in pictures])
            with torch.inference_mode():
                rows = self._model.encode_image(pixels.to(self._kind))
            features += [Features(row, row) for row in _unit(rows)]
        return features

    def encode_text(self, texts: Sequence[str]) -> Vector:
        """Return `[len(texts), dim]`, each row of unit length; long texts are cut."""
        import torch

        parts: list[Vector] = []
        for start in range(0, len(texts), _TEXT_BATCH):
            tokens = self._tokenize(list(texts[start : start + _TEXT_BATCH]))
            with torch.inference_mode():
                parts.append(_unit(self._model.encode_text(tokens.to(self._kind))))
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), dtype=np.float32)

    def presence(self, text: str, keys: Vector) -> Vector:
        """Return the share of `text` in the softmax over it and what else could be seen.

        Of what else, that which shares a word with `text` does not compete with it.
        """
        if self._else is None:
            self._else = self._encode_prompts(_ELSE)
        words = _words(text)
        others = self._else[[not words & _words(other) for other in _ELSE]]
        candidates = np.concatenate([self._encode_prompts([text]), others])
        shares: Vector = self._shares(keys, candidates)[:, 0]
        return shares

    def knows(self, text: str) -> bool:
        """Return True: any words have their place in the space."""
        return True

    def describe(self, key: Vector, *, k: int = 3) -> list[tuple[str, float]]:
        """Return the `k` names nearest to `key [dim]` with their shares among all names.

        The names are those of the ImageNet classes where the embedded models are there to list
        them, else a short list of everyday things.
        """
        if self._names is None:
            names = _class_names()
            self._names = (
                names,
                class_texts(
                    [_PROMPT.format(name) for name in names],
                    revision=self.revision,
                    encode=self.encode_text,
                ),
            )
        names, vectors = self._names
        shares = self._shares(key[None], vectors)[0]
        return [(names[i], float(shares[i])) for i in np.argsort(-shares)[:k]]

    def _encode_prompts(self, things: Sequence[str]) -> Vector:
        return self.encode_text([_PROMPT.format(thing) for thing in things])

    def _shares(self, keys: Vector, candidates: Vector) -> Vector:
        """Return the softmax `[N, M]` of `keys [N, dim]` over `candidates [M, dim]`."""
        lengths = np.maximum(np.linalg.norm(keys, axis=1, keepdims=True), 1e-12)
        scores = self._scale * (keys / lengths) @ candidates.T
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: Vector = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def _class_names() -> tuple[str, ...]:
    try:
        words = read_class_words(
            locate("embedded", "imagenet_synsets.txt"),
            lemmas=locate("embedded", "imagenet_synset_to_lemma.txt"),
            definitions=locate("embedded", "imagenet_synset_to_definition.txt"),
        )
    except WeightsError:
        return _EVERYDAY
    return tuple(names[0] for names in words.names)


def _words(text: str) -> set[str]:
    return set(text.lower().split()) - {"a", "an", "the", "or", "of", "on", "with", "and", "in"}


def _unit(rows: Any) -> Vector:
    """Return the rows of a tensor `[N, dim]` on the CPU, of unit length."""
    vectors = rows.float().cpu().numpy()
    unit: Vector = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
