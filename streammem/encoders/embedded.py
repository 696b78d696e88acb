"""The default encoder: pictures by EfficientNet-Lite0, words by MiniLM, one space for both.

Neither model was trained for the other. A frame becomes a distribution p over the 1,000 ImageNet
classes; a text becomes similarities to what WordNet says of each class. The key holds two blocks:

    A  sqrt(p), so that the dot product with sqrt(q) is the Bhattacharyya coefficient of p and q,
       where q is the softmax of the text's similarities to the class texts;
    B  the mean of the classes' meanings under p (ConSE, Norouzi et al., arXiv:1312.5650), p being
       flattened and most of what all meanings share being taken off, so that a picture of no
       class is placed among many. A text is drawn to the meanings that it is close to.

Blocks are weighted such that one dot product is their weighted sum and a key has unit length.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from streammem.encoders import efficientnet_onnx, minilm, torch_file
from streammem.encoders.class_texts import class_texts
from streammem.encoders.class_words import read_class_words
from streammem.encoders.onnx_graph import Session
from streammem.model_files import locate, manifest
from streammem.records import Features, Frame, Image, Vector

# On a CPU one picture at a time stays in the caches: a batch of 8 costs 1.7 times as much a frame.
_BATCHES: Final = {"cpu": 1, "cuda": 16}
_SETTINGS: Final = "v2"
_TOP: Final = 50
_TAU: Final = 0.03
_CLASS_SHARE: Final = 0.15
_FLATTENED: Final = 0.35
_NAME_PART: Final = 0.3
_SHARED_PART: Final = 0.75
_DRAWN_PART: Final = 0.5
_NEAR: Final = 0.5
_VISUAL_DIM: Final = 256
_SEED: Final = 0


class EmbeddedEncoder:
    """Encodes frames and words with no torch, no account and no network.

    `device` is auto, cpu or cuda; `threads` the number of threads of one call, None for one a core.
    """

    def __init__(self, *, device: str = "auto", threads: int | None = None) -> None:
        pixels = locate("embedded", "efficientnet-lite0.pth")
        self._words = read_class_words(
            locate("embedded", "imagenet_synsets.txt"),
            lemmas=locate("embedded", "imagenet_synset_to_lemma.txt"),
            definitions=locate("embedded", "imagenet_synset_to_definition.txt"),
        )
        self._session = Session(
            efficientnet_onnx.build(torch_file.read_tensors(pixels)), device=device, threads=threads
        )
        self._threads = threads
        self._sentences: minilm.SentenceEncoder | None = None
        self.revision = _revision()
        self._class_texts = self._kept(self._words.texts())
        names = self._kept([names[0] for names in self._words.names])
        self._meanings = _unit(self._class_texts + _NAME_PART * names)
        self._told_apart = self._meanings - _SHARED_PART * self._meanings.mean(axis=0)
        spread = np.random.default_rng(_SEED).standard_normal(
            (efficientnet_onnx.FEATURES, _VISUAL_DIM)
        )
        self._projection: Vector = (spread / np.sqrt(_VISUAL_DIM)).astype(np.float32)
        self.name = "embedded"
        self.device = self._session.device
        self._batch = _BATCHES[self._session.kind]
        self.dim = efficientnet_onnx.CLASSES + minilm.DIM
        self.visual_dim = _VISUAL_DIM

    def encode(self, frames: Sequence[Frame]) -> list[Features]:
        """Return `Features(key [1384], visual [256])` for each frame, in order."""
        features: list[Features] = []
        for start in range(0, len(frames), self._batch):
            pixels = [_squashed(frame.rgb) for frame in frames[start : start + self._batch]]
            pooled, logits = self._session.run(pixels=np.stack(pixels))
            keys = self._keys(_softmax(logits))
            # Not by BLAS: its threads spin, and a decoder shares the cores.
            visual = _unit(np.einsum("nf,fv->nv", pooled, self._projection))
            features += [Features(key, view) for key, view in zip(keys, visual, strict=True)]
        return features

    def encode_text(self, texts: Sequence[str]) -> Vector:
        """Return `[len(texts), 1384]`, each row of unit length."""
        vectors = self._encode_sentences(texts)
        shares = np.sqrt(_softmax(vectors @ self._class_texts.T / _TAU))
        drawn = _unit(_softmax(vectors @ self._meanings.T / _TAU) @ self._meanings)
        return _join(shares, _unit(vectors + _DRAWN_PART * drawn))

    def presence(self, text: str, keys: Vector) -> Vector:
        """Return the sum of the probabilities of the classes that `text` is close to."""
        near = self._near(text)
        shares = self._distributions(keys)
        summed: Vector = shares[:, near].sum(axis=1)
        return summed

    def knows(self, text: str) -> bool:
        """Return whether `text` is the name of some class or of its kind: a cat, as in tiger cat.

        Closeness is not enough to tell absence by: coins are close to a piggy bank.
        """
        noun = _singular(re.sub(r"^(?:an?|the|any|some) ", "", text.strip().lower()))
        named = any(
            name.lower() == noun or name.lower().endswith(f" {noun}")
            for names in self._words.names
            for name in names
        )
        return named and bool(self._near(text).any())

    def describe(self, key: Vector, *, k: int = 3) -> list[tuple[str, float]]:
        """Return the `k` most probable class names with their probabilities."""
        shares = self._distributions(key[None])[0]
        best = np.argsort(-shares)[:k]
        return [(self._words.names[i][0], float(shares[i])) for i in best]

    def _near(self, text: str) -> NDArray[np.bool_]:
        """Return `[1000]`: which classes `text` names."""
        near: NDArray[np.bool_] = (self._encode_sentences([text]) @ self._class_texts.T)[0] >= _NEAR
        return near

    def _distributions(self, keys: Vector) -> Vector:
        """Return the class distributions `[N, 1000]` that `keys [N, 1384]` hold."""
        squares = np.square(keys[:, : efficientnet_onnx.CLASSES])
        shares: Vector = squares / np.maximum(squares.sum(axis=1, keepdims=True), 1e-12)
        return shares

    def _keys(self, shares: Vector) -> Vector:
        """Return the keys `[N, 1384]` of class distributions `[N, 1000]`."""
        top = np.argpartition(shares, -_TOP, axis=1)[:, -_TOP:]  # [N, 50]
        strongest = np.take_along_axis(shares, top, axis=1)
        meant = np.einsum("nk,nkd->nd", strongest**_FLATTENED, self._told_apart[top])  # [N, 384]
        return _join(np.sqrt(shares), _unit(meant))

    def _kept(self, texts: Sequence[str]) -> Vector:
        """Return the vectors of texts that are the same each time."""
        return class_texts(texts, revision=self.revision, encode=self._encode_sentences)

    def _encode_sentences(self, texts: Sequence[str]) -> Vector:
        """Encode texts, loading the sentence model when it is first needed."""
        if self._sentences is None:
            self._sentences = minilm.SentenceEncoder(
                locate("embedded", "minilm.safetensors"),
                locate("embedded", "minilm-tokenizer.json"),
                device="cpu",
                threads=self._threads,
            )
        return self._sentences.encode(texts)


def _singular(noun: str) -> str:
    """Return an English noun in the singular, as the classes are named."""
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    if noun.endswith(("ches", "shes", "xes")):
        return noun[:-2]
    return noun.removesuffix("s") if not noun.endswith(("ss", "us", "is")) else noun


def _revision() -> str:
    """Return what identifies the weights and the settings that the features depend on."""
    digest = hashlib.sha256(_SETTINGS.encode())
    for package in manifest()["embedded"]:
        for file in package.files:
            digest.update(file.sha256.encode())
    return digest.hexdigest()[:12]


def _squashed(rgb: Image) -> Image:
    """Return a picture as the network takes it, `[224, 224, 3]`.

    The mean over whole blocks of pixels, then less than a halving by interpolation: several times
    cheaper than one step of INTER_AREA by a broken factor.
    """
    side = efficientnet_onnx.SIDE_PX
    high, wide, _ = rgb.shape
    near = (wide // max(1, wide // side), high // max(1, high // side))
    if near != (wide, high):
        rgb = np.asarray(cv2.resize(rgb, near, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(rgb, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _softmax(scores: Vector) -> Vector:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Vector = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _unit(rows: Vector) -> Vector:
    unit: Vector = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _join(block_a: Vector, block_b: Vector) -> Vector:
    """Return unit rows of both blocks, each of unit length before its weight."""
    weight_a, weight_b = np.sqrt([_CLASS_SHARE, 1 - _CLASS_SHARE])
    return np.concatenate([weight_a * block_a, weight_b * block_b], axis=1).astype(np.float32)
