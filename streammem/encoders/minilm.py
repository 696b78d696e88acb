"""Sentences as unit vectors by all-MiniLM-L6-v2, run by onnxruntime from its own weights.

Wang et al., "MiniLM" (arXiv:2002.10957), trained for sentences by Reimers and Gurevych
(arXiv:1908.10084): a BERT encoder of 6 layers, the mean of its token vectors, unit length.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from streammem.encoders.onnx_graph import Graph, Session
from streammem.errors import WeightsError
from streammem.records import Vector

DIM: Final = 384
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_MAX_TOKENS: Final = 128
_BATCH: Final = 32


class SentenceEncoder:
    """Turns texts into unit vectors of 384 numbers; texts beyond 128 tokens are cut."""

    def __init__(
        self, weights: Path, tokenizer: Path, *, device: str = "auto", threads: int | None = None
    ) -> None:
        try:
            arrays = load_file(weights)
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"sentence model {weights} cannot be read: {error}") from error
        except Exception as error:
            raise WeightsError(f"tokenizer {tokenizer} cannot be read: {error}") from error
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._words = arrays["embeddings.word_embeddings.weight"]
        self._session = Session(build(arrays), device=device, threads=threads)

    def encode(self, texts: Sequence[str]) -> Vector:
        """Return `[len(texts), 384]`, each row of unit length."""
        rows = np.zeros((len(texts), DIM), dtype=np.float32)
        # Texts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            rows[chosen] = self._encode([texts[i] for i in chosen])
        return rows

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        tokens = self._tokenizer.encode_batch(texts)
        ids = np.array([token.ids for token in tokens])
        mask = np.array([token.attention_mask for token in tokens], dtype=np.float32)
        (means,) = self._session.run(words=self._words[ids], mask=mask)
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (means / lengths).astype(np.float32)
        return unit


def build(arrays: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return the graph `words [N, T, 384], mask [N, T] -> mean [N, 384]`.

    `words` are the rows of the word table, which stays outside: it is half of the weights.
    """
    graph = Graph()
    layers = 1 + max(int(name.split(".")[2]) for name in arrays if name.startswith("encoder.layer"))
    x = _embed(graph, arrays)
    bias = _attention_bias(graph)
    for layer in range(layers):
        x = _layer(graph, arrays, x, bias, name=f"encoder.layer.{layer}")
    axis = graph.constant("axis1", np.array([1], dtype=np.int64))
    last = graph.constant("axis2", np.array([2], dtype=np.int64))
    weights = graph.add("Unsqueeze", ["mask", last], "token_weights")
    weighted = graph.add("Mul", [x, weights], "weighted")
    total = graph.add("ReduceSum", [weighted, axis], "total", keepdims=0)
    count = graph.add("ReduceSum", [weights, axis], "count", keepdims=0)
    graph.add("Div", [total, count], "mean")
    return graph.finish(
        inputs=[
            ("words", TensorProto.FLOAT, ["N", "T", DIM]),
            ("mask", TensorProto.FLOAT, ["N", "T"]),
        ],
        outputs=[("mean", TensorProto.FLOAT, ["N", DIM])],
    )


def _embed(graph: Graph, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Add what a place in the text adds to its word; every text is of type 0."""
    kinds = arrays["embeddings.token_type_embeddings.weight"]
    places = arrays["embeddings.position_embeddings.weight"] + kinds[0]
    shape = graph.add("Shape", ["mask"], "mask_shape")
    length = graph.add(
        "Slice",
        [
            shape,
            graph.constant("one", np.array([1], dtype=np.int64)),
            graph.constant("two", np.array([2], dtype=np.int64)),
        ],
        "length",
    )
    start = graph.constant("start", np.array([0], dtype=np.int64))
    rows = graph.add("Slice", [graph.constant("places", places), start, length], "place_rows")
    x = graph.add("Add", ["words", rows], "embedded")
    return _normalise(graph, arrays, x, name="embeddings.LayerNorm")


def _attention_bias(graph: Graph) -> str:
    """Return what takes padding out of every attention: 0 for a token, -1e9 for padding."""
    axes = graph.constant("head_and_query", np.array([1, 2], dtype=np.int64))
    mask = graph.add("Unsqueeze", ["mask", axes], "mask4")
    less = graph.add("Sub", [mask, graph.constant("unit", np.float32(1))], "mask_less_one")
    return graph.add("Mul", [less, graph.constant("large", np.float32(1e9))], "bias")


def _layer(
    graph: Graph, arrays: Mapping[str, NDArray[Any]], x: str, bias: str, *, name: str
) -> str:
    """Append self-attention and the two dense layers, each added to what came in."""
    split = graph.constant(f"{name}.split", np.array([0, 0, _HEADS, DIM // _HEADS]))
    join = graph.constant(f"{name}.join", np.array([0, 0, DIM]))

    def heads(part: str, perm: list[int]) -> str:
        y = _dense(graph, arrays, x, name=f"{name}.attention.self.{part}")
        y = graph.add("Reshape", [y, split], f"{name}.{part}.split")
        return graph.add("Transpose", [y], f"{name}.{part}.heads", perm=perm)

    query, key = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1])
    scores = graph.add("MatMul", [query, key], f"{name}.products")
    scale = graph.constant(f"{name}.scale", np.float32(1 / math.sqrt(DIM // _HEADS)))
    scores = graph.add("Mul", [scores, scale], f"{name}.scaled")
    scores = graph.add("Add", [scores, bias], f"{name}.masked")
    shares = graph.add("Softmax", [scores], f"{name}.shares", axis=-1)
    y = graph.add("MatMul", [shares, heads("value", [0, 2, 1, 3])], f"{name}.read")
    y = graph.add("Transpose", [y], f"{name}.tokens", perm=[0, 2, 1, 3])
    y = graph.add("Reshape", [y, join], f"{name}.joined")
    y = _dense(graph, arrays, y, name=f"{name}.attention.output.dense")
    y = graph.add("Add", [y, x], f"{name}.attended")
    x = _normalise(graph, arrays, y, name=f"{name}.attention.output.LayerNorm")
    y = _gelu(graph, _dense(graph, arrays, x, name=f"{name}.intermediate.dense"), name=name)
    y = _dense(graph, arrays, y, name=f"{name}.output.dense")
    y = graph.add("Add", [y, x], f"{name}.sum")
    return _normalise(graph, arrays, y, name=f"{name}.output.LayerNorm")


def _dense(graph: Graph, arrays: Mapping[str, NDArray[Any]], x: str, *, name: str) -> str:
    weight = graph.constant(f"{name}.weight", arrays[f"{name}.weight"].T)
    bias = graph.constant(f"{name}.bias", arrays[f"{name}.bias"])
    product = graph.add("MatMul", [x, weight], f"{name}.product")
    return graph.add("Add", [product, bias], f"{name}.out")


def _normalise(graph: Graph, arrays: Mapping[str, NDArray[Any]], x: str, *, name: str) -> str:
    weight = graph.constant(f"{name}.weight", arrays[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", arrays[f"{name}.bias"])
    return graph.add("LayerNormalization", [x, weight, bias], f"{name}.out", epsilon=_EPSILON)


def _gelu(graph: Graph, x: str, *, name: str) -> str:
    """Append x (1 + erf(x / sqrt 2)) / 2, by the operators of the oldest runtimes."""
    root = graph.constant(f"{name}.root", np.float32(math.sqrt(2)))
    one = graph.constant(f"{name}.one", np.float32(1))
    half = graph.constant(f"{name}.half", np.float32(0.5))
    y = graph.add("Erf", [graph.add("Div", [x, root], f"{name}.gelu0")], f"{name}.gelu1")
    y = graph.add("Mul", [x, graph.add("Add", [y, one], f"{name}.gelu2")], f"{name}.gelu3")
    return graph.add("Mul", [y, half], f"{name}.gelu4")
