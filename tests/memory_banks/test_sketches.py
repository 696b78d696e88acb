"""Sketches: how well they tell distances, and that the nearest is the nearest."""

import math

import numpy as np
import pytest

from memory_banks.consolidation.sketches import ALONE, BITS, Sketches, _hadamard
from tests.memory_banks.streams import unit


def differing(a: bytes, b: bytes) -> int:
    """Return in how many bits two sketches differ."""
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def pair_at(rng: np.random.Generator, size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two float16 directions `[size]` that are `angle` apart."""
    first, other = unit(rng, size).astype(np.float64), rng.normal(size=size)
    across = other - (other @ first) * first
    second = math.cos(angle) * first + math.sin(angle) * across / np.linalg.norm(across)
    return first.astype(np.float16), second.astype(np.float16)


@pytest.mark.parametrize("size", [1, 2, 4, 64, 1024])
def test_hadamard_is_the_parity_of_common_bits(size: int) -> None:
    expected = [
        [(-1) ** (row & column).bit_count() for column in range(size)] for row in range(size)
    ]
    assert _hadamard(size).tolist() == expected


@pytest.mark.parametrize(("dim", "visual_dim"), [(12, 8), (300, 211), (384, 384)])
def test_distances_are_told_within_the_error_of_counting_signs(dim: int, visual_dim: int) -> None:
    """A share p = theta / pi of n signs has a standard error of sqrt(p (1 - p) / n)."""
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sketches = Sketches(dim + visual_dim, seed=seed)
        for angles in rng.uniform(0.05, 1.5, (25, 2)):
            keys, visuals = pair_at(rng, dim, angles[0]), pair_at(rng, visual_dim, angles[1])
            first, second = (sketches.of(*one) for one in zip(keys, visuals, strict=True))
            sketches.add(1, second, rarity=ALONE)
            squared, _ = sketches.look(first, without=())
            sketches.remove(1)
            found = math.acos(1.0 - squared / 4.0) / math.pi
            exact = sum(float(((a.astype(float) - b) ** 2).sum()) for a, b in (keys, visuals))
            expected = math.acos(1.0 - exact / 4.0) / math.pi
            errors.append((found - expected) / math.sqrt(expected * (1.0 - expected) / BITS))
    assert abs(np.mean(errors)) < 0.15
    assert np.std(errors) < 1.1
    assert np.abs(errors).max() < 4.5


def directions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return unit(rng, 12).astype(np.float16), unit(rng, 8).astype(np.float16)


def squared(differing_bits: int) -> float:
    return 4.0 * (1.0 - math.cos(math.pi * differing_bits / BITS))


@pytest.mark.parametrize("count", [1, 63, 500])
def test_the_nearest_and_those_it_is_nearest_to_are_those_of_all_that_are_held(count: int) -> None:
    rng = np.random.default_rng(count)
    sketches = Sketches(20, seed=1)
    held: dict[int, bytes] = {}
    noted: dict[int, float] = {}
    for entry_id in rng.permutation(3 * count).tolist():
        asked = sketches.of(*directions(rng))
        without = (-5, *rng.choice(list(held), size=min(2, len(held)), replace=False).tolist())
        among = {one: differing(asked, it) for one, it in held.items() if one not in without}
        nearest, nearer = sketches.look(asked, without=without)
        assert nearest == pytest.approx(squared(min(among.values())) if among else ALONE)
        assert nearer == pytest.approx(
            {one: squared(bits) for one, bits in among.items() if squared(bits) < noted[one] - 1e-9}
        )
        for one, rarity in nearer.items():
            noted[one] = rarity
            sketches.note(one, rarity=rarity)
        held[entry_id], noted[entry_id] = asked, nearest
        sketches.add(entry_id, asked, rarity=nearest)
        if rng.random() < 0.4:
            gone = int(rng.choice(list(held)))
            sketches.remove(gone)
            del held[gone], noted[gone]


def test_sketches_of_nothing_know_no_nearest() -> None:
    sketches = Sketches(20, seed=0)
    sketch = sketches.of(*directions(np.random.default_rng(0)))
    assert sketches.look(sketch, without=()) == (ALONE, {})
    sketches.add(3, sketch, rarity=ALONE)
    assert sketches.look(sketch, without=(3,)) == (ALONE, {})
    assert sketches.look(sketch, without=()) == (0.0, {3: 0.0})
    sketches.remove(3)
    assert sketches.look(sketch, without=()) == (ALONE, {})


def test_places_of_what_was_removed_are_used_again() -> None:
    sketches = Sketches(20, seed=0)
    for entry_id in range(1000):
        sketches.add(entry_id, bytes(BITS // 8), rarity=ALONE)
        if entry_id >= 10:
            sketches.remove(entry_id - 10)
    assert len(sketches._ids) <= 64


def test_a_sketch_depends_on_the_features_and_the_seed_alone() -> None:
    features = directions(np.random.default_rng(3))
    first, again, other = (Sketches(20, seed=seed).of(*features) for seed in (0, 0, 1))
    assert first == again and len(first) == BITS // 8
    assert 180 < differing(first, other) < 330
    opposite = Sketches(20, seed=0).of(*(-vector for vector in features))
    assert differing(first, opposite) == BITS
