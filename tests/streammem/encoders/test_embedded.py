"""The default encoder on real pictures, with the packaged models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from memory_banks.settings import MemoryConfig
from memory_banks.tiered import open_memory
from streammem.encoders import embedded
from streammem.encoders.choose import choose_encoder
from streammem.encoders.embedded import EmbeddedEncoder
from streammem.errors import StoreMismatch, UsageError, WeightsError
from streammem.records import Frame, Image, Vector

PRESENT, ABSENT = 0.5, 0.05


@pytest.fixture(scope="module")
def encoder(packaged_home: Path) -> Iterator[EmbeddedEncoder]:
    """Yield an encoder, with the home named for as long as it may load its sentence model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMMEM_HOME", str(packaged_home))
        yield EmbeddedEncoder(device="cpu", threads=1)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image]:
    data = pytest.importorskip("skimage.data", reason="scikit-image carries the pictures")
    return {"cat": data.cat(), "coffee": data.coffee(), "person": data.astronaut()}


@pytest.fixture(scope="module")
def keys(encoder: EmbeddedEncoder, pictures: dict[str, Image]) -> dict[str, Vector]:
    features = encoder.encode([frame(picture) for picture in pictures.values()])
    return {name: found.key[None] for name, found in zip(pictures, features, strict=True)}


def frame(picture: Image) -> Frame:
    return Frame("pictures", 0, 0.0, np.ascontiguousarray(picture))


def noise(count: int) -> list[Frame]:
    draw = np.random.default_rng(count)
    shapes = [(36, 64), (300, 200), (1, 1), (224, 224)]
    return [frame(draw.integers(0, 256, (*shapes[i % 4], 3), dtype=np.uint8)) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 17])
def test_a_batch_is_worth_its_frames_alone(encoder: EmbeddedEncoder, count: int) -> None:
    frames = noise(count)
    together = encoder.encode(frames)
    assert len(together) == count
    for one, features in zip(frames, together, strict=True):
        (alone,) = encoder.encode([one])
        np.testing.assert_allclose(features.key, alone.key, atol=1e-4)
        np.testing.assert_allclose(features.visual, alone.visual, atol=1e-4)


def test_keys_and_views_have_unit_length(
    encoder: EmbeddedEncoder, pictures: dict[str, Image]
) -> None:
    black, white = np.zeros((8, 8, 3), dtype=np.uint8), np.full((8, 8, 3), 255, dtype=np.uint8)
    frames = [*noise(4), *(frame(picture) for picture in (*pictures.values(), black, white))]
    for features in encoder.encode(frames):
        assert features.key.shape == (encoder.dim,)
        assert features.visual.shape == (encoder.visual_dim,)
        assert features.key.dtype == features.visual.dtype == np.float32
        assert np.linalg.norm(features.key) == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(features.visual) == pytest.approx(1, abs=1e-5)


def test_texts_have_unit_length(encoder: EmbeddedEncoder) -> None:
    texts = ["a cat", "", "two cups of coffee on a wooden table", "zebra " * 500, "猫", "?"]
    rows = encoder.encode_text(texts)
    assert rows.shape == (len(texts), encoder.dim)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "picture"),
    [("a cat", "cat"), ("a kitten", "cat"), ("a cup of coffee", "coffee"), ("espresso", "coffee")],
)
def test_words_rank_their_picture_first(
    encoder: EmbeddedEncoder, keys: dict[str, Vector], text: str, picture: str
) -> None:
    query = encoder.encode_text([text])[0]
    scores = {name: float((key @ query)[0]) for name, key in keys.items()}
    assert max(scores, key=lambda name: scores[name]) == picture


@pytest.mark.parametrize(
    ("text", "picture"), [("a cat", "cat"), ("cat", "cat"), ("a cup of coffee", "coffee")]
)
def test_what_is_there_is_present_there_alone(
    encoder: EmbeddedEncoder, keys: dict[str, Vector], text: str, picture: str
) -> None:
    found = {name: float(encoder.presence(text, key)[0]) for name, key in keys.items()}
    assert found.pop(picture) > PRESENT
    assert max(found.values()) < ABSENT


@pytest.mark.parametrize("text", ["a zebra", "a submarine", "an airliner", "a piano", "a lion"])
def test_what_is_not_there_is_absent(
    encoder: EmbeddedEncoder, keys: dict[str, Vector], text: str
) -> None:
    assert encoder.knows(text)
    assert max(float(encoder.presence(text, key)[0]) for key in keys.values()) < ABSENT


@pytest.mark.parametrize("text", ["", "justice", "qwertyuiop zxcv", "a cat " * 300])
def test_presence_is_a_probability(
    encoder: EmbeddedEncoder, keys: dict[str, Vector], text: str
) -> None:
    rows = np.concatenate([*keys.values(), 0.3 * keys["cat"], np.zeros_like(keys["cat"])])
    presence = encoder.presence(text, rows)
    assert presence.shape == (5,)
    assert presence.min() >= 0
    assert presence.max() <= 1 + 1e-6


def test_presence_of_a_merged_key_does_not_depend_on_its_length(
    encoder: EmbeddedEncoder, keys: dict[str, Vector]
) -> None:
    assert encoder.presence("a cat", 0.3 * keys["cat"]) == pytest.approx(
        encoder.presence("a cat", keys["cat"]), abs=1e-5
    )


def test_it_knows_what_it_cannot_tell(encoder: EmbeddedEncoder) -> None:
    known = {"a cat": True, "a zebra": True, "espresso": True, "justice": False, "": False}
    assert {text: encoder.knows(text) for text in known} == known


def test_closeness_to_a_class_is_not_enough_to_deny(encoder: EmbeddedEncoder) -> None:
    assert encoder.presence("coins", np.eye(1000, encoder.dim, dtype=np.float32)).any()
    assert not encoder.knows("coins")
    assert encoder.knows("Cats")


def test_pictures_are_described_by_their_classes(
    encoder: EmbeddedEncoder, keys: dict[str, Vector]
) -> None:
    named = encoder.describe(keys["cat"][0], k=3)
    assert {name for name, _ in named} == {"Egyptian cat", "tiger cat", "tabby"}
    shares = [share for _, share in named]
    assert shares == sorted(shares, reverse=True)
    assert 0.5 < sum(shares) <= 1
    assert encoder.describe(keys["coffee"][0], k=1)[0][0] == "espresso"


def test_views_tell_a_moved_picture_from_another(
    encoder: EmbeddedEncoder, pictures: dict[str, Image]
) -> None:
    cat, coffee = pictures["cat"], pictures["coffee"]
    whole, part, other = (
        features.visual
        for features in encoder.encode([frame(cat), frame(cat[20:, 30:]), frame(coffee)])
    )
    assert whole @ part > 0.8 > whole @ other


def test_another_encoder_agrees_and_has_the_same_revision(
    encoder: EmbeddedEncoder, packaged_home: Path, pictures: dict[str, Image]
) -> None:
    other = choose_encoder("embedded", device="cpu", threads=1)
    assert (other.name, other.revision) == (encoder.name, encoder.revision)
    a, b = (one.encode([frame(pictures["cat"])])[0] for one in (encoder, other))
    np.testing.assert_array_equal(a.key, b.key)
    np.testing.assert_array_equal(a.visual, b.visual)


def test_other_settings_are_another_revision_and_their_memories_are_kept_apart(
    encoder: EmbeddedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_memory(tmp_path / "made.smem", encoder=encoder, config=MemoryConfig(), mode="write"):
        pass
    monkeypatch.setattr(embedded, "_SETTINGS", "other")
    # The vectors themselves stand in for the seconds that computing them takes.
    vectors = encoder._class_texts
    monkeypatch.setattr(
        EmbeddedEncoder, "_encode_sentences", lambda _, texts: vectors[: len(texts)]
    )
    other = EmbeddedEncoder(device="cpu", threads=1)
    assert other.revision != encoder.revision
    with pytest.raises(StoreMismatch, match=f"{encoder.revision}.*{other.revision}"):
        open_memory(tmp_path / "made.smem", encoder=other)


def test_the_vectors_of_the_classes_are_kept(
    encoder: EmbeddedEncoder, packaged_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list((packaged_home / "cache").glob("class-texts-*.npy"))

    def refuse(*_: object) -> Vector:
        raise AssertionError("the sentence model was asked again")

    monkeypatch.setattr(EmbeddedEncoder, "_encode_sentences", refuse)
    EmbeddedEncoder(device="cpu", threads=1)


@pytest.mark.parametrize("damage", ["unwritable", "garbage", "pickle"])
def test_a_cache_that_cannot_be_used_costs_time_alone(
    encoder: EmbeddedEncoder,
    packaged_home: Path,
    tmp_path: Path,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "models").symlink_to(packaged_home / "models", target_is_directory=True)
    if damage == "unwritable":
        (tmp_path / "cache").write_text("a file where the folder should be")
    else:
        (tmp_path / "cache").mkdir()
        for kept in (packaged_home / "cache").iterdir():
            objects = np.array([{"an": "object"}] * 1000, dtype=object)
            if damage == "pickle":
                np.save(tmp_path / "cache" / kept.name, objects, allow_pickle=True)
            else:
                (tmp_path / "cache" / kept.name).write_bytes(b"\x93NUMPY garbage")
    monkeypatch.setenv("STREAMMEM_HOME", str(tmp_path))
    # The vectors themselves stand in for the seconds that computing them takes.
    vectors = encoder._class_texts
    monkeypatch.setattr(
        EmbeddedEncoder, "_encode_sentences", lambda _, texts: vectors[: len(texts)]
    )
    np.testing.assert_array_equal(EmbeddedEncoder(device="cpu")._class_texts, vectors)


def test_without_the_models_the_command_that_adds_them_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMMEM_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"is missing; add it with: streammem models add embed"):
        choose_encoder("embedded")


@pytest.mark.parametrize("name", ["embedded:large", "embedded:x@1"])
def test_embedded_takes_nothing_after_it(name: str) -> None:
    with pytest.raises(UsageError, match="embedded takes nothing after it"):
        choose_encoder(name)


def test_an_unknown_family_is_answered_with_those_known() -> None:
    with pytest.raises(UsageError, match=r"encoder 'clip:x' is not known; choose one of embedded,"):
        choose_encoder("clip:x")


def test_the_device_says_why(encoder: EmbeddedEncoder) -> None:
    assert encoder.device == "cpu (asked for)"
