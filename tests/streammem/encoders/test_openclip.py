"""The open_clip encoder, with a model of a few thousand random weights."""

import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_banks.settings import MemoryConfig
from memory_banks.tiered import open_memory
from streammem.encoders.choose import choose_encoder
from streammem.errors import MissingExtra, StoreMismatch, UsageError, WeightsError
from streammem.protocols import Encoder
from streammem.records import Frame

TINY = "StreamMem-tiny"
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def open_clip() -> Any:
    pytest.importorskip("torch", reason="the extra openclip is not installed")
    from streammem.encoders import openclip_weights

    try:
        return openclip_weights.import_open_clip()
    except MissingExtra:
        pytest.skip("the extra openclip is not installed")


@pytest.fixture(scope="module")
def weights(open_clip: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield two weight files of the tiny model, seeds 0 and 1, in one folder."""
    import torch
    from open_clip import factory
    from safetensors.torch import save_file

    from streammem.encoders.openclip_weights import quiet

    folder = tmp_path_factory.mktemp("tiny")
    config = folder / f"{TINY}.json"
    config.write_text(json.dumps(CONFIG))
    paths, models = list(factory._MODEL_CONFIG_PATHS), dict(factory._MODEL_CONFIGS)
    open_clip.add_model_config(config)
    with torch.random.fork_rng(devices=[]), quiet():
        for seed in (0, 1):
            torch.manual_seed(seed)
            state = open_clip.create_model(TINY).state_dict()
            save_file({k: v.contiguous() for k, v in state.items()}, folder / f"{seed}.safetensors")
    yield folder
    factory._MODEL_CONFIG_PATHS[:] = paths
    factory._MODEL_CONFIGS = models


def tiny(weights: Path, seed: int = 0) -> Encoder:
    return choose_encoder(f"openclip:{TINY}/{weights}/{seed}.safetensors", device="cpu")


@pytest.fixture(scope="module")
def encoder(weights: Path) -> Encoder:
    return tiny(weights)


def frames(count: int, *, seed: int = 0) -> list[Frame]:
    draw = np.random.default_rng(seed)
    shapes = [(36, 64), (64, 36), (32, 32), (100, 120)]
    return [
        Frame("noise", i, float(i), draw.integers(0, 256, (*shapes[i % 4], 3), dtype=np.uint8))
        for i in range(count)
    ]


def test_keys_have_unit_length_and_the_dimension_of_texts(encoder: Encoder) -> None:
    features = encoder.encode(frames(5))
    texts = encoder.encode_text(["a cat", "two cups of coffee on a table"])
    assert (encoder.dim, encoder.visual_dim, texts.shape) == (24, 24, (2, 24))
    assert {f.key.shape for f in features} == {f.visual.shape for f in features} == {(24,)}
    rows = np.stack([*(f.key for f in features), *(f.visual for f in features), *texts])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 17])
def test_a_batch_is_worth_its_frames_alone(encoder: Encoder, count: int) -> None:
    several = frames(count)
    together = encoder.encode(several)
    assert len(together) == count
    for frame, features in zip(several, together, strict=True):
        (alone,) = encoder.encode([frame])
        np.testing.assert_allclose(features.key, alone.key, atol=1e-5)


def test_no_texts_have_no_rows(encoder: Encoder) -> None:
    assert encoder.encode_text([]).shape == (0, 24)


def test_different_pictures_and_texts_have_different_rows(encoder: Encoder) -> None:
    keys = [f.key for f in encoder.encode(frames(2))]
    texts = encoder.encode_text(["a cat", "a ship"])
    assert np.abs(keys[0] - keys[1]).max() > 1e-3
    assert np.abs(texts[0] - texts[1]).max() > 1e-3


def test_two_of_the_same_weights_agree(encoder: Encoder, weights: Path) -> None:
    other = tiny(weights)
    assert other.revision == encoder.revision
    for a, b in zip(encoder.encode(frames(3)), other.encode(frames(3)), strict=True):
        np.testing.assert_array_equal(a.key, b.key)


def test_the_key_is_what_open_clip_makes_of_the_picture(
    encoder: Encoder, weights: Path, open_clip: Any
) -> None:
    import torch
    from PIL import Image

    from streammem.encoders.openclip_weights import quiet

    with quiet():
        model, _, prepare = open_clip.create_model_and_transforms(
            TINY, pretrained=str(weights / "0.safetensors")
        )
    frame = frames(1)[0]
    with torch.inference_mode():
        wanted = model.eval().encode_image(prepare(Image.fromarray(frame.rgb))[None])[0].numpy()
    np.testing.assert_allclose(
        encoder.encode([frame])[0].key, wanted / np.linalg.norm(wanted), atol=1e-5
    )


def test_presence_is_a_probability_that_follows_the_text(encoder: Encoder) -> None:
    keys = np.stack([f.key for f in encoder.encode(frames(6))])
    presence = encoder.presence("a cat", keys)
    assert presence.shape == (6,)
    assert presence.dtype == np.float32
    assert (presence > 0).all() and (presence < 1).all()
    # A key that is what the text becomes is a surer sign of it than any picture of noise.
    query = encoder.encode_text(["a photo of a cat."])
    assert encoder.presence("a cat", query)[0] > presence.max()
    assert encoder.knows("a cat")


def test_what_else_is_asked_for_does_not_compete_with_itself(encoder: Encoder) -> None:
    vehicle = encoder.encode_text(["a photo of a vehicle."])
    assert encoder.presence("a vehicle", vehicle)[0] > encoder.presence("a cat", vehicle)[0]


def test_merged_keys_need_not_have_unit_length(encoder: Encoder) -> None:
    keys = np.stack([f.key for f in encoder.encode(frames(2))])
    np.testing.assert_allclose(
        encoder.presence("a cat", keys * 0.5), encoder.presence("a cat", keys), atol=1e-6
    )


def test_describe_names_everyday_things_where_no_class_names_are_there(
    weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAMMEM_HOME", str(tmp_path))
    encoder = tiny(weights)
    key = encoder.encode_text(["a photo of bicycle."])[0]
    named = encoder.describe(key, k=3)
    shares = [share for _, share in named]
    assert named[0][0] == "bicycle"
    assert len(named) == 3
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1
    assert encoder.describe(key, k=3) == named


def test_describe_names_the_classes_where_their_names_are_there(
    weights: Path, packaged_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMMEM_HOME", str(packaged_home))
    encoder = tiny(weights)
    key = encoder.encode_text(["a photo of tiger shark."])[0]
    ((name, _),) = encoder.describe(key, k=1)
    assert name == "tiger shark"


def test_a_memory_is_not_opened_with_other_weights(
    encoder: Encoder, weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "made.smem"
    with open_memory(path, encoder=encoder, config=MemoryConfig(), mode="write"):
        pass
    other = tiny(weights, seed=1)
    assert other.revision != encoder.revision
    with pytest.raises(StoreMismatch) as raised:
        open_memory(path, encoder=other)
    assert encoder.revision in str(raised.value)
    assert other.revision in str(raised.value)
    open_memory(path, encoder=tiny(weights)).close()


def test_the_device_says_why(encoder: Encoder) -> None:
    assert getattr(encoder, "device", "") == "cpu (asked for)"


def test_an_unknown_model_is_answered_with_near_names(open_clip: Any) -> None:
    with pytest.raises(UsageError, match=r"open_clip knows no model 'ViT-B-33'; did you mean ViT"):
        choose_encoder("openclip:ViT-B-33/openai")


@pytest.mark.parametrize("name", ["openclip", "openclip:/tag"])
def test_a_name_without_a_model_is_answered_with_the_forms(open_clip: Any, name: str) -> None:
    with pytest.raises(UsageError, match="names no model; write it like"):
        choose_encoder(name)


@pytest.mark.parametrize("name", ["openclip:ViT-B-32/laion3b", "openclip:ViT-B-32"])
def test_an_unknown_tag_is_answered_with_the_tags(open_clip: Any, name: str) -> None:
    with pytest.raises(UsageError, match=r"has no weights '.*'; choose one of openai, .*a file:"):
        choose_encoder(name)


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_weights_that_are_not_cached_are_not_fetched(open_clip: Any, empty_hub: Path) -> None:
    with pytest.raises(WeightsError) as raised:
        choose_encoder("openclip:ViT-B-32/laion2b_s34b_b79k")
    text = str(raised.value)
    assert "openclip:ViT-B-32/laion2b_s34b_b79k are not on this machine" in text
    assert "open_clip.create_model('ViT-B-32', pretrained='laion2b_s34b_b79k')" in text
    assert "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in text
    assert list(empty_hub.iterdir()) == []


def test_weights_of_a_tag_come_from_the_cache(
    open_clip: Any, weights: Path, empty_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import pretrained

    repository = empty_hub / "models--someone--tiny"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "open_clip_model.safetensors").write_bytes((weights / "0.safetensors").read_bytes())
    tag = {"hf_hub": "someone/tiny/", "mean": (0.5,) * 3, "std": (0.5,) * 3, "quick_gelu": True}
    monkeypatch.setitem(pretrained._PRETRAINED, TINY, {"mine": tag})
    cached = choose_encoder(f"openclip:{TINY}/mine", device="cpu")
    # The tag's activation and colours differ from those of the bare file, and so do the keys.
    plain = tiny(weights)
    assert cached.revision != plain.revision
    assert np.abs(cached.encode(frames(1))[0].key - plain.encode(frames(1))[0].key).max() > 1e-3


def test_a_missing_file_is_named(weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.safetensors are not there"):
        choose_encoder(f"openclip:{TINY}/{weights}/absent.safetensors")


def test_a_file_of_another_kind_is_refused(weights: Path) -> None:
    with pytest.raises(UsageError, match=r"must be a file ending in \.safetensors"):
        choose_encoder(f"openclip:{TINY}/{weights}/0.npz")


def test_a_truncated_file_is_refused(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes((weights / "0.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"cut\.safetensors cannot be loaded into the open_clip"):
        choose_encoder(f"openclip:{TINY}/{path}", device="cpu")


def test_weights_of_another_model_are_refused(weights: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3, dtype=np.float32)}, path)
    with pytest.raises(WeightsError, match=r"cannot be loaded into the open_clip model .*Missing"):
        choose_encoder(f"openclip:{TINY}/{path}", device="cpu")


class _Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_is_not_run(weights: Path, tmp_path: Path) -> None:
    import torch

    path, trace = tmp_path / "bad.pt", tmp_path / "was-run"
    torch.save({"weight": _Touch(trace)}, path)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        choose_encoder(f"openclip:{TINY}/{path}", device="cpu")
    path.write_bytes(pickle.dumps(_Touch(trace)))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        choose_encoder(f"openclip:{TINY}/{path}", device="cpu")
    assert not trace.exists()


def test_a_path_may_hold_an_at_sign(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "v1@best.safetensors"
    path.write_bytes((weights / "0.safetensors").read_bytes())
    assert choose_encoder(f"openclip:{TINY}/{path}", device="cpu").name.endswith(str(path))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtra, match=r"open_clip_torch.*pip install 'streammem\[openclip\]'"):
        choose_encoder("openclip:ViT-B-32/openai")


def test_loading_says_nothing(
    weights: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tiny(weights)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
