"""Tensors out of torch files of the old format, and what must never come of a pickle."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streammem.encoders.torch_file import read_tensors
from streammem.errors import WeightsError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}


def save(path: Path, state: Any) -> Path:
    torch = pytest.importorskip("torch")
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def crafted(path: Path, *pickles: Any, protocol: int = 2, rest: bytes = b"") -> Path:
    path.write_bytes(b"".join(pickle.dumps(p, protocol=protocol) for p in pickles) + rest)
    return path


def test_tensors_are_those_torch_reads(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    draw = torch.Generator().manual_seed(0)
    whole = torch.randn(6, 8, generator=draw)
    state = OrderedDict(
        scalar=torch.tensor(2.5),
        counter=torch.tensor(7),
        empty=torch.zeros(0, 3),
        turned=whole.T,
        part=whole[2:4, 1::3],
        same_storage=whole,
        picture_like=torch.randn(3, 2, 5, 5, generator=draw),
        parameter=torch.nn.Parameter(torch.ones(4)).detach(),
        whole_numbers=torch.arange(12).reshape(3, 4)[:, 1],
    )
    path = save(tmp_path / "state.pth", state)
    wanted = torch.load(path, weights_only=True)
    found = read_tensors(path)
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        array = found[name]
        assert array.flags.c_contiguous
        assert array.dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(array, tensor.numpy(), err_msg=name)


def test_the_state_of_a_module_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    path = save(tmp_path / "module.pth", module.state_dict())
    found = read_tensors(path)
    assert set(found) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_the_packaged_weights_are_those_torch_reads(packaged_home: Path) -> None:
    torch = pytest.importorskip("torch")
    path = packaged_home / "models" / "embedded" / "efficientnet-lite0.pth"
    wanted, found = torch.load(path, weights_only=True), read_tensors(path)
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)


class _Reduced:
    """Calls `function(*arguments)` where it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", range(5))
def test_no_pickle_is_run(tmp_path: Path, place: int, protocol: int) -> None:
    trace = tmp_path / "was-run"
    pickles: list[Any] = [MAGIC, PROTOCOL, SYSTEM, OrderedDict(), []]
    pickles[place] = {"weight": _Reduced(os.system, f"touch {trace}")}
    path = crafted(tmp_path / "bad.pth", *pickles, protocol=protocol)
    with pytest.raises(WeightsError, match="nothing of the file was run"):
        read_tensors(path)
    assert not trace.exists()
    # The file is a real threat: loading the pickle runs it.
    pickle.loads(pickle.dumps(pickles[place], protocol=protocol))
    assert trace.exists()


def test_what_a_file_refers_to_is_named(tmp_path: Path) -> None:
    bad = {"weight": _Reduced(os.system, "true")}
    path = crafted(tmp_path / "bad.pth", MAGIC, PROTOCOL, SYSTEM, bad)
    with pytest.raises(WeightsError, match=r"bad\.pth .* it refers to posix\.system"):
        read_tensors(path)


def test_allowed_names_are_not_called_with_other_arguments(tmp_path: Path) -> None:
    bad = {"weight": _Reduced(OrderedDict, [("a", 1)])}
    path = crafted(tmp_path / "bad.pth", MAGIC, PROTOCOL, SYSTEM, bad)
    with pytest.raises(WeightsError, match=r"it calls collections OrderedDict"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a torch state dict"),
        (b"PK\x03\x04 a zip file, as torch writes them today", "not a torch state dict"),
        (pickle.dumps([1, 2], protocol=2), "does not start like a torch file"),
        (
            b"".join(
                pickle.dumps(p, protocol=2)
                for p in (MAGIC, PROTOCOL, {**SYSTEM, "little_endian": False})
            ),
            "not little-endian",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        read_tensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth cannot be read: No such file"):
        read_tensors(tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("place", "number", "said"),
    [
        (1, 6, "a tensor reaches beyond its storage"),
        (3, 95, "a tensor reaches beyond its storage"),
        (3, 200, "a tensor has more numbers than its storage"),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, place: int, number: int, said: str
) -> None:
    torch = pytest.importorskip("torch")
    part = torch.arange(99, dtype=torch.float32)[5:]
    path = save(tmp_path / "long.pth", {"weight": part})
    content = bytearray(path.read_bytes())
    offset_and_shape = b"K\x05K\x5e\x85"
    assert content.count(offset_and_shape) == 1
    content[content.index(offset_and_shape) + place] = number
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        read_tensors(path)


def test_a_storage_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = save(tmp_path / "state.pth", {"weight": torch.ones(3)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="needs 12 bytes and 8 are left"):
        read_tensors(path)
    path.write_bytes(path.read_bytes()[:-16] + b"\xff" * 16)
    with pytest.raises(WeightsError, match=r"says 18446744073709551615 numbers and 3"):
        read_tensors(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    whole = save(tmp_path / "whole.pth", {"a": torch.ones(3), "b": torch.arange(5)}).read_bytes()
    path = tmp_path / "cut.pth"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            read_tensors(path)


# Python's own reader of opcodes warns of escapes in damaged text.
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_damaged_bytes_give_numbers_or_an_error_of_ours(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    whole = save(tmp_path / "whole.pth", {"a": torch.ones(3), "b": torch.arange(5)}).read_bytes()
    path = tmp_path / "damaged.pth"
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(1500):
        content = bytearray(whole)
        for place in draw.integers(0, len(whole), draw.integers(1, 4)):
            content[place] = draw.integers(0, 256)
        path.write_bytes(content)
        try:
            assert all(isinstance(array, np.ndarray) for array in read_tensors(path).values())
        except WeightsError:
            refused += 1
    assert refused > 400
