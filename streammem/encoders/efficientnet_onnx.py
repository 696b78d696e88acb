"""EfficientNet-Lite0 as an ONNX graph, built from the arrays of its state dict.

Tan and Le, "EfficientNet" (arXiv:1905.11946), in its Lite form: no squeeze-and-excitation, ReLU6,
TensorFlow's SAME padding. Batch normalisation is folded into the convolutions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from streammem.encoders.onnx_graph import Graph

SIDE_PX: Final = 224
FEATURES: Final = 1280
CLASSES: Final = 1000
_EPSILON: Final = 1e-3
# A stage is (blocks, stride of the first); the weights hold the kernels and the channels.
_STAGES: Final = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))


def build(arrays: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return the graph `pixels uint8 [N, 224, 224, 3] -> features [N, 1280], logits [N, 1000]`.

    `features` is the mean of the last map over its 7 x 7 places, which the classifier reads.
    """
    graph = Graph()
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    x = graph.add("Cast", ["pixels"], "float", to=TensorProto.FLOAT)
    x = graph.add("Sub", [x, graph.constant("middle", np.float32(127))], "centred")
    x = graph.add("Mul", [x, graph.constant("scale", np.float32(1 / 128))], "scaled")
    x = graph.add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    layers = _Layers(graph, arrays)
    x = layers.convolve(x, "_conv_stem", "_bn0", side=SIDE_PX, stride=2)
    side, number = SIDE_PX // 2, 0
    for blocks, first_stride in _STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = layers.bottleneck(x, f"_blocks.{number}", side=side, stride=stride)
            side, number = -(-side // stride), number + 1
    x = layers.convolve(x, "_conv_head", "_bn1", side=side)
    x = graph.add("GlobalAveragePool", [x], "pooled")
    graph.add("Flatten", [x], "features")
    weight = graph.constant("classifier", arrays["_fc.weight"])
    bias = graph.constant("classifier_bias", arrays["_fc.bias"])
    graph.add("Gemm", ["features", weight, bias], "logits", transB=1)
    return graph.finish(
        inputs=[("pixels", TensorProto.UINT8, ["N", SIDE_PX, SIDE_PX, 3])],
        outputs=[
            ("features", TensorProto.FLOAT, ["N", FEATURES]),
            ("logits", TensorProto.FLOAT, ["N", CLASSES]),
        ],
    )


@dataclass(frozen=True, slots=True)
class _Layers:
    """The two layers the network is made of."""

    graph: Graph
    arrays: Mapping[str, NDArray[Any]]

    def convolve(
        self, x: str, weight: str, norm: str, *, side: int, stride: int = 1, relu: bool = True
    ) -> str:
        """Append convolution, batch normalisation and ReLU6 on a map of `side` x `side`."""
        kernel = self.arrays[f"{weight}.weight"]
        spread = np.sqrt(self.arrays[f"{norm}.running_var"] + _EPSILON)
        scale = self.arrays[f"{norm}.weight"] / spread
        shift = self.arrays[f"{norm}.bias"] - self.arrays[f"{norm}.running_mean"] * scale
        channels, channels_in, size, _ = kernel.shape
        missing = max((-(-side // stride) - 1) * stride + size - side, 0)
        before, after = missing // 2, missing - missing // 2
        folded = self.graph.constant(f"{weight}.kernel", kernel * scale[:, None, None, None])
        y = self.graph.add(
            "Conv",
            [x, folded, self.graph.constant(f"{weight}.shift", shift)],
            f"{weight}.out",
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=channels if channels_in == 1 else 1,
        )
        return self.graph.add("Clip", [y, "zero", "six"], f"{weight}.relu") if relu else y

    def bottleneck(self, x: str, name: str, *, side: int, stride: int) -> str:
        """Append one block: widen, filter each channel alone, narrow, add what came in."""
        y = x
        channels_in = self.arrays[f"{name}._depthwise_conv.weight"].shape[0]
        if (expand := self.arrays.get(f"{name}._expand_conv.weight")) is not None:
            channels_in = expand.shape[1]
            y = self.convolve(y, f"{name}._expand_conv", f"{name}._bn0", side=side)
        y = self.convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", side=side, stride=stride)
        side = -(-side // stride)
        y = self.convolve(y, f"{name}._project_conv", f"{name}._bn2", side=side, relu=False)
        channels = self.arrays[f"{name}._project_conv.weight"].shape[0]
        if stride == 1 and channels == channels_in:
            y = self.graph.add("Add", [y, x], f"{name}.sum")
        return y
