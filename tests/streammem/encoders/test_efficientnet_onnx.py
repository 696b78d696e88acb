"""The EfficientNet-Lite0 graph against a plain torch twin."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streammem.encoders import efficientnet_onnx
from streammem.encoders.onnx_graph import Session
from streammem.encoders.torch_file import read_tensors
from streammem.errors import UsageError

Arrays = dict[str, NDArray[Any]]
# Blocks of each stage, the stride of its first, its kernel and its channels.
STAGES = (
    *((1, 1, 3, 16), (2, 2, 3, 24), (2, 2, 5, 40), (3, 2, 3, 80)),
    *((3, 1, 5, 112), (4, 2, 5, 192), (1, 1, 3, 320)),
)


def random_arrays(seed: int) -> Arrays:
    """Return arrays of the shapes of EfficientNet-Lite0 whose maps neither vanish nor explode."""
    draw = np.random.default_rng(seed)
    arrays: Arrays = {}

    def layer(weight: str, norm: str, out: int, into: int, size: int) -> None:
        spread = np.sqrt(2 / (into * size * size))
        arrays[f"{weight}.weight"] = draw.normal(0, spread, (out, into, size, size))
        arrays[f"{norm}.weight"] = draw.uniform(0.5, 1.5, out)
        arrays[f"{norm}.bias"] = draw.normal(0, 0.3, out)
        arrays[f"{norm}.running_mean"] = draw.normal(0, 0.2, out)
        arrays[f"{norm}.running_var"] = draw.uniform(0.5, 1.5, out)

    layer("_conv_stem", "_bn0", 32, 3, 3)
    channels, number = 32, 0
    for blocks, _, size, out in STAGES:
        for _ in range(blocks):
            name = f"_blocks.{number}"
            wide = channels if number == 0 else 6 * channels
            if number:
                layer(f"{name}._expand_conv", f"{name}._bn0", wide, channels, 1)
            layer(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, size)
            layer(f"{name}._project_conv", f"{name}._bn2", out, wide, 1)
            channels, number = out, number + 1
    layer("_conv_head", "_bn1", 1280, 320, 1)
    arrays["_fc.weight"] = draw.normal(0, 0.03, (1000, 1280))
    arrays["_fc.bias"] = draw.normal(0, 0.1, 1000)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def twin(arrays: Arrays, pixels: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return features and logits by torch, normalisation unfolded."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    t = {name: torch.tensor(array) for name, array in arrays.items()}

    def layer(x: Any, weight: str, norm: str, *, stride: int = 1, relu: bool = True) -> Any:
        kernel = t[f"{weight}.weight"]
        size, side = kernel.shape[-1], x.shape[-1]
        missing = max((-(-side // stride) - 1) * stride + size - side, 0)
        before, after = missing // 2, missing - missing // 2
        x = functional.pad(x, (before, after, before, after))
        groups = x.shape[1] if kernel.shape[1] == 1 else 1
        x = functional.conv2d(x, kernel, stride=stride, groups=groups)
        x = functional.batch_norm(
            x,
            t[f"{norm}.running_mean"],
            t[f"{norm}.running_var"],
            t[f"{norm}.weight"],
            t[f"{norm}.bias"],
            eps=1e-3,
        )
        return functional.relu6(x) if relu else x

    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    x = layer(x, "_conv_stem", "_bn0", stride=2)
    number = 0
    for blocks, first_stride, _, _ in STAGES:
        for block in range(blocks):
            name, y = f"_blocks.{number}", x
            stride = first_stride if block == 0 else 1
            if number:
                y = layer(y, f"{name}._expand_conv", f"{name}._bn0")
            y = layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
            y = layer(y, f"{name}._project_conv", f"{name}._bn2", relu=False)
            x = x + y if block else y
            number += 1
    x = layer(x, "_conv_head", "_bn1").mean((2, 3))
    return x.numpy(), (x @ t["_fc.weight"].T + t["_fc.bias"]).numpy()


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


def pictures() -> NDArray[np.uint8]:
    skimage_data = pytest.importorskip("skimage.data")
    cv2 = pytest.importorskip("cv2")
    shown = [skimage_data.astronaut(), skimage_data.coffee(), skimage_data.cat()]
    return np.stack([cv2.resize(picture, (224, 224)) for picture in shown])


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return random_arrays(0)


@pytest.fixture(scope="module")
def session(arrays: Arrays) -> Session:
    return Session(efficientnet_onnx.build(arrays), device="cpu", threads=1)


@pytest.mark.parametrize("count", [1, 2])
def test_the_graph_agrees_with_its_twin(session: Session, arrays: Arrays, count: int) -> None:
    features, logits = session.run(pixels=noise(count))
    wanted_features, wanted_logits = twin(arrays, noise(count))
    assert wanted_logits.std() > 0.1
    np.testing.assert_allclose(features, wanted_features, atol=1e-4)
    np.testing.assert_allclose(logits, wanted_logits, atol=1e-4)


def test_the_packaged_weights_agree_with_the_twin(packaged_home: Path) -> None:
    real = read_tensors(packaged_home / "models" / "embedded" / "efficientnet-lite0.pth")
    session = Session(efficientnet_onnx.build(real), device="cpu", threads=1)
    pixels = np.concatenate([pictures(), noise(1)])
    features, logits = session.run(pixels=pixels)
    wanted_features, wanted_logits = twin(real, pixels)
    np.testing.assert_allclose(features, wanted_features, atol=1e-4)
    np.testing.assert_allclose(logits, wanted_logits, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_batch_is_worth_its_pictures_alone(session: Session, count: int) -> None:
    pixels = noise(count)
    features, logits = session.run(pixels=pixels)
    assert (features.shape, logits.shape) == ((count, 1280), (count, 1000))
    for i in range(count):
        _, alone = session.run(pixels=pixels[i : i + 1])
        np.testing.assert_allclose(logits[i], alone[0], atol=1e-4)


def test_an_unknown_device_is_refused(arrays: Arrays) -> None:
    with pytest.raises(UsageError, match="device of the embedded models 'tpu' is not known"):
        Session(efficientnet_onnx.build(arrays), device="tpu")
