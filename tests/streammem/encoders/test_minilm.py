"""The sentence model against a twin in numpy, written apart from its graph."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from streammem.encoders.minilm import DIM, SentenceEncoder
from streammem.errors import WeightsError

WORDS = ["[PAD]", "[UNK]", "a", "red", "cat", "on", "the", "mat", "with", "two", "cups", "dog"]
LAYERS, WIDE = 2, 64
TEXTS = [
    "a cat",
    "the red cat on the mat with two cups",
    "zebra",
    "dog " * 200,
    "two dog cups",
]

erf = np.vectorize(math.erf)


def random_arrays(seed: int) -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {
        "embeddings.word_embeddings.weight": draw.normal(0, 1, (len(WORDS), DIM)),
        "embeddings.position_embeddings.weight": draw.normal(0, 0.5, (512, DIM)),
        "embeddings.token_type_embeddings.weight": draw.normal(0, 0.5, (2, DIM)),
    }

    def dense(name: str, out: int, into: int) -> None:
        arrays[f"{name}.weight"] = draw.normal(0, 1.5 / np.sqrt(into), (out, into))
        arrays[f"{name}.bias"] = draw.normal(0, 0.1, out)

    def norm(name: str) -> None:
        arrays[f"{name}.weight"] = draw.uniform(0.5, 1.5, DIM)
        arrays[f"{name}.bias"] = draw.normal(0, 0.1, DIM)

    norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            dense(f"{at}.attention.self.{part}", DIM, DIM)
        dense(f"{at}.attention.output.dense", DIM, DIM)
        norm(f"{at}.attention.output.LayerNorm")
        dense(f"{at}.intermediate.dense", WIDE, DIM)
        dense(f"{at}.output.dense", DIM, WIDE)
        norm(f"{at}.output.LayerNorm")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def twin(arrays: dict[str, NDArray[Any]], ids: list[int]) -> NDArray[np.float64]:
    """Return the unit vector of one text of token `ids`, without padding, in float64."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}

    def dense(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ a[f"{name}.weight"].T + a[f"{name}.bias"]

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * a[f"{name}.weight"] + a[f"{name}.bias"]

    x = a["embeddings.word_embeddings.weight"][ids]
    x = x + a["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + a["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    layers = 1 + max(int(name.split(".")[2]) for name in a if name.startswith("encoder"))
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        parts = [dense(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
        heads = []
        for query, key, value in zip(*(np.split(part, 12, axis=1) for part in parts), strict=True):
            scores = query @ key.T / math.sqrt(32)
            powers = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(powers / powers.sum(1, keepdims=True) @ value)
        y = dense(np.concatenate(heads, axis=1), f"{at}.attention.output.dense")
        x = norm(x + y, f"{at}.attention.output.LayerNorm")
        y = dense(x, f"{at}.intermediate.dense")
        y = dense(y * (1 + erf(y / math.sqrt(2))) / 2, f"{at}.output.dense")
        x = norm(x + y, f"{at}.output.LayerNorm")
    mean = x.mean(0)
    return np.asarray(mean / np.linalg.norm(mean))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return weights and tokenizer of a small model with a vocabulary of twelve words."""
    folder = tmp_path_factory.mktemp("sentences")
    save_file(random_arrays(0), folder / "weights.safetensors")
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "weights.safetensors", folder / "tokenizer.json"


@pytest.fixture(scope="module")
def encoder(files: tuple[Path, Path]) -> SentenceEncoder:
    return SentenceEncoder(*files, device="cpu", threads=1)


@pytest.mark.parametrize("text", ["a cat", "the red cat on the mat with two cups", "dog " * 128])
def test_the_graph_agrees_with_its_twin(encoder: SentenceEncoder, text: str) -> None:
    ids = [WORDS.index(word) for word in text.split()]
    (found,) = encoder.encode([text])
    np.testing.assert_allclose(found, twin(random_arrays(0), ids), atol=1e-5)


def test_a_batch_is_worth_its_texts_alone(encoder: SentenceEncoder) -> None:
    texts = TEXTS * 8
    together = encoder.encode(texts)
    assert together.shape == (len(texts), DIM)
    assert together.dtype == np.float32
    for text, row in zip(texts[:5], together, strict=False):
        np.testing.assert_allclose(row, encoder.encode([text])[0], atol=1e-5)


def test_texts_are_cut_at_128_tokens(encoder: SentenceEncoder) -> None:
    long = encoder.encode(["cat " * 128, "cat " * 128 + "dog " * 50])
    np.testing.assert_allclose(long[0], long[1], atol=1e-6)


def test_no_texts_have_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, DIM)


def test_the_packaged_model_agrees_with_its_twin(packaged_home: Path) -> None:
    folder = packaged_home / "models" / "embedded"
    paths = folder / "minilm.safetensors", folder / "minilm-tokenizer.json"
    tokenizer, arrays = Tokenizer.from_file(str(paths[1])), load_file(paths[0])
    tokenizer.no_padding()
    encoder = SentenceEncoder(*paths, device="cpu", threads=1)
    texts = ["", "a cat", "Two cups of coffee, on a wooden table!", "Кошка 猫"]
    for text, row in zip(texts, encoder.encode(texts), strict=True):
        np.testing.assert_allclose(row, twin(arrays, tokenizer.encode(text).ids), atol=1e-5)


def test_sentences_of_like_meaning_are_near(packaged_home: Path) -> None:
    folder = packaged_home / "models" / "embedded"
    encoder = SentenceEncoder(
        folder / "minilm.safetensors", folder / "minilm-tokenizer.json", device="cpu"
    )
    kitten, cat, tax = encoder.encode(["a kitten", "a small young cat", "a tax return form"])
    assert kitten @ cat > 0.6 > 0.3 > kitten @ tax


def test_damaged_weights_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(files[0].read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"sentence model .*cut\.safetensors cannot be read"):
        SentenceEncoder(cut, files[1])


def test_a_damaged_tokenizer_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    cut = tmp_path / "tokenizer.json"
    cut.write_text(files[1].read_text()[:200])
    with pytest.raises(WeightsError, match=r"tokenizer .*tokenizer\.json cannot be read"):
        SentenceEncoder(files[0], cut)
