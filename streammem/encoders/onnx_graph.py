"""ONNX graphs built by hand from arrays, and the sessions that run them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from streammem.errors import WeightsError, one_of

# The oldest versions with every operator used here, so that old runtimes load the graphs too.
_OPSET: Final = 17
_IR_VERSION: Final = 8
_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

Port: TypeAlias = tuple[str, int, list[int | str]]
"""An input or output: name, element type of `onnx.TensorProto`, shape with names for free axes."""


@dataclass(slots=True)
class Graph:
    """The nodes and weights of a graph that grows by one node a call."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: Any) -> str:
        """Add an array under `name` and return the name."""
        self.weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and return the name of its one output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def finish(self, *, inputs: Sequence[Port], outputs: Sequence[Port]) -> onnx.ModelProto:
        """Return the model."""
        graph = helper.make_graph(
            self.nodes,
            "streammem",
            [helper.make_tensor_value_info(*port) for port in inputs],
            [helper.make_tensor_value_info(*port) for port in outputs],
            initializer=self.weights,
        )
        opset = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)


class Session:
    """A model ready to run; `device` says where it runs and why.

    `threads` is the number of threads of one call, None for one a core. They sleep between calls
    instead of spinning, so that a decoder on the same cores is not slowed.
    """

    def __init__(
        self, model: onnx.ModelProto, *, device: str = "auto", threads: int | None = None
    ) -> None:
        there = onnxruntime.get_available_providers()
        if device not in ("auto", *_PROVIDERS):
            raise one_of("device of the embedded models", device, ("auto", *_PROVIDERS))
        kind = device
        if device == "auto":
            kind = "cuda" if _PROVIDERS["cuda"] in there else "cpu"
        if _PROVIDERS[kind] not in there:
            raise one_of("device of the embedded models", device, ("auto", "cpu"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        providers = [_PROVIDERS[kind]] + ([_PROVIDERS["cpu"]] if kind == "cuda" else [])
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=providers
            )
        except Exception as error:
            raise WeightsError(f"onnxruntime cannot load the model: {error}") from error
        runs: Literal["cpu", "cuda"] = (
            "cuda" if _PROVIDERS["cuda"] in self._session.get_providers() else "cpu"
        )
        self.kind: Literal["cpu", "cuda"] = runs
        why = "asked for" if device == runs else f"onnxruntime offers {', '.join(there)}"
        self.device = f"{runs} ({why})"

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the model's outputs in their order."""
        outputs: list[NDArray[Any]] = self._session.run(None, inputs)
        return outputs
