"""Continuous memory against plain float64 forms: the integral, the regression, the draws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_banks.continuous import (
    ContinuousConfig,
    ContinuousMemory,
    attention,
    ridge_fit,
)
from streammem.errors import UsageError


def vectors(length: int, dim: int = 5, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(length, dim)).astype(np.float32)


def psi(t: np.ndarray, count: int) -> np.ndarray:
    """Return `[T, N]`: which of `count` equal bins of [0, 1] each time lies in."""
    lower, upper = np.arange(count) / count, np.arange(1, count + 1) / count
    inside = (t[:, None] >= lower) & (t[:, None] < upper)
    inside[t == 1, -1] = True
    return inside.astype(np.float64)


def trapezoid(values: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Integrate `values [T, ...]` over times `t [T]`."""
    return np.tensordot(np.diff(t), (values[1:] + values[:-1]) / 2, axes=1)


def read_by_integral(queries: np.ndarray, coefficients: np.ndarray, points: int) -> np.ndarray:
    """Return the expected value of the signal under its Gibbs density, both by trapezoids."""
    t = np.linspace(0, 1, points)
    signal = psi(t, len(coefficients)) @ coefficients.astype(np.float64)  # [T, D]
    density = np.exp(signal @ queries.T.astype(np.float64) / np.sqrt(queries.shape[1]))  # [T, Q]
    density /= trapezoid(density, t)
    return trapezoid(density[:, :, None] * signal[:, None, :], t)


def contract_past(config: ContinuousConfig, length: int) -> float:
    return config.tau ** (length / config.chunk)


def update_by_regression(
    held: np.ndarray | None,
    chunk: np.ndarray,
    config: ContinuousConfig,
    *,
    density: np.ndarray | None = None,
    offset: float = 0.5,
) -> np.ndarray:
    """Sample the past, put the samples and the chunk on the line, and solve the ridge regression.

    With a `density [N]`, the time of a sample is where its distribution function reaches the
    quantile, interpolated within the bin.
    """
    places = (np.arange(len(chunk)) + 0.5) / len(chunk)
    values = chunk.astype(np.float64)
    if held is not None:
        tau = contract_past(config, len(chunk))
        quantiles = (np.arange(config.samples) + offset) / config.samples
        times = quantiles
        if density is not None:
            reached = np.concatenate([[0.0], np.cumsum(density / density.sum())])
            times = np.interp(quantiles, reached, np.arange(config.slots + 1) / config.slots)
        values = np.concatenate([psi(times, config.slots) @ held, values])
        places = np.concatenate([tau * quantiles, tau + (1 - tau) * places])
    design = psi(places, config.slots)  # [P, N]
    gram = design.T @ design + config.ridge * np.eye(config.slots)
    return np.linalg.solve(gram, design.T @ values)


def overlap_matrix(edges: np.ndarray, count: int) -> np.ndarray:
    """Return `[N, S]`: the length that each of `count` bins shares with each cell."""
    shared = np.zeros((count, len(edges) - 1))
    for j in range(count):
        for i in range(len(edges) - 1):
            length = min(edges[i + 1], (j + 1) / count) - max(edges[i], j / count)
            shared[j, i] = length if length > 1e-12 else 0.0
    return shared


def cell_edges(
    config: ContinuousConfig, length: int, *, first: bool, density: np.ndarray | None = None
) -> np.ndarray:
    """Return the bounds of old and new cells on the line."""
    new = np.arange(length + 1) / length
    if first:
        return new
    tau = contract_past(config, length)
    density = np.ones(config.slots) if density is None else density
    past = np.concatenate([[0.0], np.cumsum(density / density.sum())])
    return np.concatenate([tau * past, tau + (1 - tau) * new[1:]])


def test_reading_is_what_the_integral_converges_to() -> None:
    memory = ContinuousMemory(ContinuousConfig(slots=17, chunk=40))
    for seed in range(3):
        memory.update(3 * vectors(40, 6, seed=seed))
    assert memory.slots is not None
    queries = 2 * vectors(9, 6, seed=7)
    found = memory.read(queries)
    errors = [
        np.abs(read_by_integral(queries, memory.slots.vectors, points) - found).max()
        for points in (300, 3_000, 30_000, 300_000)
    ]
    assert all(after < before / 4 for before, after in pairwise(errors))
    assert errors[0] > 1e-3 and errors[-1] < 1e-4


def test_large_scores_do_not_overflow() -> None:
    keys = np.array([[1e4, 0], [0, 1e4], [-1e4, 0]], dtype=np.float32)
    queries = np.array([[1e4, 0], [-1e4, -1e4]], dtype=np.float32)
    assert np.array_equal(attention(queries, keys), [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("slots", [1, 7, 64])
@pytest.mark.parametrize("lengths", [(1, 1), (63, 500, 1, 63), (500, 500, 500)])
@pytest.mark.parametrize("tau", [0.75, 0.4])
def test_ridge_fit_is_the_regression_with_the_full_design_matrix(
    slots: int, lengths: tuple[int, ...], tau: float
) -> None:
    config = ContinuousConfig(slots=slots, chunk=100, tau=tau, fit="ridge", samples=37)
    memory, held = ContinuousMemory(config), None
    for seed, length in enumerate(lengths):
        chunk = vectors(length, seed=seed)
        memory.update(chunk)
        held = update_by_regression(held, chunk, config)
        assert memory.slots is not None
        assert memory.slots.vectors == pytest.approx(held, abs=1e-5)


def test_full_chunks_contract_the_past_to_tau_and_parts_of_one_as_much() -> None:
    config = ContinuousConfig(slots=8, chunk=64, tau=0.5)
    whole, parts = ContinuousMemory(config), ContinuousMemory(config)
    old, new = np.zeros((64, 1), np.float32), np.ones((64, 1), np.float32)
    for memory, lengths in ((whole, [64]), (parts, [16, 16, 16, 16])):
        memory.update(old)
        for length in lengths:
            memory.update(new[:length])
    assert whole.slots is not None and parts.slots is not None
    assert whole.slots.vectors[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert parts.slots.vectors.mean() == pytest.approx(0.5)


@pytest.mark.parametrize("slots", [1, 7, 64])
@pytest.mark.parametrize("lengths", [(1, 1), (63, 500, 1, 63), (500, 500)])
@pytest.mark.parametrize("sticky", [False, True])
def test_mean_fit_is_the_mean_of_the_contracted_signal(
    slots: int, lengths: tuple[int, ...], sticky: bool
) -> None:
    config = ContinuousConfig(slots=slots, chunk=100, sticky=sticky)
    memory = ContinuousMemory(config)
    held, density = np.zeros((0, 5)), None
    for seed, length in enumerate(lengths):
        chunk = vectors(length, seed=seed)
        edges = cell_edges(config, length, first=seed == 0, density=density)
        held = slots * overlap_matrix(edges, slots) @ np.concatenate([held, chunk])
        memory.update(chunk)
        assert memory.slots is not None
        assert memory.slots.vectors == pytest.approx(held, abs=1e-5)
        if sticky:
            queries = vectors(6, seed=100 + seed)
            memory.read(queries[:2])
            memory.read(queries[2:])
            scores = np.exp(queries @ held.T / np.sqrt(5))
            density = (scores / scores.sum(axis=1, keepdims=True)).sum(axis=0)


def test_ridge_fit_of_many_samples_without_ridge_is_the_mean_fit() -> None:
    chunks = [vectors(4_800, seed=seed) for seed in range(3)]
    exact, sampled = (
        ContinuousMemory(ContinuousConfig(slots=12, chunk=4_800, fit=fit, ridge=0, samples=50_000))
        for fit in ("mean", "ridge")
    )
    for chunk in chunks:
        exact.update(chunk)
        sampled.update(chunk)
    assert exact.slots is not None and sampled.slots is not None
    assert sampled.slots.vectors == pytest.approx(exact.slots.vectors, abs=1e-4)


def test_ridge_shrinks_the_past_at_each_update_and_the_mean_does_not() -> None:
    ones = np.ones((64, 1), np.float32)
    ends = {}
    for fit in ("mean", "ridge"):
        memory = ContinuousMemory(ContinuousConfig(slots=48, chunk=64, fit=fit, samples=72))
        for _ in range(5):
            memory.update(ones)
        assert memory.slots is not None
        ends[fit] = float(memory.slots.vectors[0, 0])
    assert ends["mean"] == pytest.approx(1)
    assert ends["ridge"] == pytest.approx((2 / 2.5) ** 4 * (2 / 2.5), rel=0.2)


def test_sticky_ridge_fit_is_the_regression_on_systematic_draws() -> None:
    config = ContinuousConfig(slots=16, chunk=30, fit="ridge", samples=41, sticky=True, seed=9)
    memory, held = ContinuousMemory(config), None
    density, offset = None, 0.5
    for update in range(4):
        chunk = vectors(30, seed=update)
        memory.update(chunk)
        held = update_by_regression(held, chunk, config, density=density, offset=offset)
        assert memory.slots is not None
        assert memory.slots.vectors == pytest.approx(held, abs=1e-5)
        queries = 2 * vectors(5, seed=50 + update)
        memory.read(queries)
        density = attention(queries, memory.slots.vectors).sum(axis=0, dtype=np.float64)
        offset = np.random.default_rng([9, update + 1]).random()


def test_draws_follow_the_density() -> None:
    density = np.array([0.0, 0.5, 0.013, 0.0, 0.3, 0.187, 0.0])
    edges = np.concatenate([[0.0], np.cumsum(density)])
    drawn = np.zeros((400, 7))
    for row, offset in zip(drawn, np.random.default_rng(3).random(400), strict=True):
        points = (np.arange(32) + offset) / 32
        parts = ridge_fit(edges, points=points, slots=4, ridge=0.5)
        row += np.bincount(parts.cell, minlength=7)
        assert np.all(np.abs(row - 32 * density) < 1)
    assert drawn.mean(axis=0) / 32 == pytest.approx(density, abs=2e-3)


@pytest.mark.parametrize("fit", ["mean", "ridge"])
@pytest.mark.parametrize("slot", [0, 1, 63, 127])
def test_what_all_attention_is_on_fills_the_past(fit: str, slot: int) -> None:
    memory = ContinuousMemory(
        ContinuousConfig(slots=128, chunk=128, fit=fit, ridge=0, sticky=True)  # type: ignore[arg-type]
    )
    memory.update(200 * np.eye(128, dtype=np.float32))
    memory.read(200 * np.eye(128, dtype=np.float32)[[slot]])
    memory.update(np.zeros((128, 128), np.float32))
    assert memory.slots is not None
    expected = np.zeros((128, 128))
    expected[:96, slot] = 200
    assert memory.slots.vectors == pytest.approx(expected, abs=1e-3)
    assert memory.slots.weight.sum() == pytest.approx(256)


def test_sticky_memory_without_reads_is_the_uniform_one() -> None:
    sticky, uniform = (
        ContinuousMemory(ContinuousConfig(slots=20, chunk=30, sticky=one, fit="ridge"))
        for one in (True, False)
    )
    for seed in range(3):
        for memory in (sticky, uniform):
            memory.update(vectors(30, seed=seed))
    assert sticky.slots is not None and uniform.slots is not None
    assert np.array_equal(sticky.slots.vectors, uniform.slots.vectors)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    slots=st.integers(1, 24),
    chunk=st.integers(1, 40),
    tau=st.sampled_from([0.5, 0.6, 0.75, 0.9]),
    fit=st.sampled_from(["mean", "ridge"]),
    reads=st.booleans(),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_weights_and_times_are_those_of_the_shares_of_every_frame(
    slots: int, chunk: int, tau: float, fit: str, reads: bool, lengths: list[int], seed: int
) -> None:
    config = ContinuousConfig(slots=slots, chunk=chunk, tau=tau, fit=fit, sticky=True)  # type: ignore[arg-type]
    memory = ContinuousMemory(config)
    steps = np.random.default_rng(seed).exponential(size=sum(lengths))
    times = np.cumsum(steps * (steps > 0.3))
    shares, density, seen = np.zeros((slots, 0)), None, 0  # shares: [N, frames]
    for update, length in enumerate(lengths):
        now = times[seen : seen + length]
        edges = cell_edges(config, length, first=update == 0, density=density)
        split = overlap_matrix(edges, slots)
        split /= split.sum(axis=0)
        shares = np.hstack([split[:, :slots] @ shares, split[:, slots:]]) if update else split
        memory.update(vectors(length, seed=update), times_s=now)
        seen += length
        held = memory.slots
        assert held is not None and memory.frames == seen
        assert held.weight == pytest.approx(shares.sum(axis=1))
        assert held.weight.sum() == pytest.approx(seen)
        for j in range(slots):
            stands_for = times[:seen][shares[j] > 0]
            assert held.first_s[j] == stands_for.min()
            assert held.last_s[j] == stands_for.max()
        assert held.mean_s == pytest.approx(shares @ times[:seen] / shares.sum(axis=1))
        assert np.all((held.first_s <= held.mean_s) & (held.mean_s <= held.last_s))
        assert np.all(np.diff(held.first_s) >= 0) and np.all(np.diff(held.last_s) >= 0)
        density = None
        if reads:
            queries = vectors(4, seed=update)
            memory.read(queries)
            density = attention(queries, held.vectors).sum(axis=0, dtype=np.float64)


@pytest.mark.parametrize("fit", ["mean", "ridge"])
def test_hundreds_of_sharp_reads_leave_times_and_weights_sane(fit: str) -> None:
    memory = ContinuousMemory(
        ContinuousConfig(slots=50, chunk=10, fit=fit, sticky=True)  # type: ignore[arg-type]
    )
    for seed in range(400):
        memory.update(100 * vectors(10, seed=seed))
        memory.read(100 * vectors(1, seed=seed % 3))
    held = memory.slots
    assert held is not None
    assert held.weight.sum() == pytest.approx(4000) and np.all(held.weight >= 0)
    assert np.all((held.first_s <= held.mean_s) & (held.mean_s <= held.last_s))
    assert np.isfinite(held.vectors).all()
    assert held.first_s.min() == 0 and held.last_s.max() == 3999


@pytest.mark.parametrize("fit", ["mean", "ridge"])
def test_a_memory_goes_on_from_its_state(fit: str) -> None:
    config = ContinuousConfig(slots=12, chunk=20, fit=fit, samples=30, sticky=True)  # type: ignore[arg-type]
    straight = stopped = ContinuousMemory(config)
    stopped = ContinuousMemory.restore(config, stopped.state())
    for seed in range(5):
        for memory in (straight, stopped):
            memory.update(vectors(20, seed=seed))
            memory.read(vectors(3, seed=seed))
        stopped = ContinuousMemory.restore(config, stopped.state())
    assert straight.state().keys() == stopped.state().keys()
    for name, array in straight.state().items():
        assert np.array_equal(array, stopped.state()[name])


def test_errors_say_what_is_wrong() -> None:
    for settings_, message in (
        ({"slots": 0}, "slots must be at least 1, got 0"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"tau": 1.0}, r"tau must lie between 0 and 1, got 1\.0"),
        ({"ridge": -1.0}, r"ridge must be a number of at least 0, got -1\.0"),
        ({"fit": "spline"}, "fit 'spline' is not known; choose one of mean, ridge"),
    ):
        with pytest.raises(UsageError, match=message):
            ContinuousConfig(**settings_)  # type: ignore[arg-type]
    memory = ContinuousMemory(ContinuousConfig(slots=4))
    with pytest.raises(UsageError, match="empty memory; call update first"):
        memory.read(vectors(1))
    with pytest.raises(UsageError, match=r"\[L, D\], none of them 0, got \[0, 5\]"):
        memory.update(vectors(0))
    memory.update(vectors(3))
    with pytest.raises(UsageError, match=r"\[L, 5\], none of them 0, got \[2, 4\]"):
        memory.update(vectors(2, 4))
    with pytest.raises(UsageError, match=r"queries must be \[Q, 5\], got \[2, 4\]"):
        memory.read(vectors(2, 4))
    with pytest.raises(UsageError, match="must be finite"):
        memory.update(np.full((1, 5), np.nan, np.float32))
    for times in ([1.0, 3.0], [3.0, 2.0], [3.0], [3.0, np.inf], [3.0, np.nan]):
        with pytest.raises(UsageError, match="2 times that never fall, from 2 s on"):
            memory.update(vectors(2), times_s=np.array(times))
    state = memory.state()
    with pytest.raises(UsageError, match="4 slots cannot go on with slots=5"):
        ContinuousMemory.restore(ContinuousConfig(slots=5), state)
    del state["weight"]
    with pytest.raises(UsageError, match="lacks weight"):
        ContinuousMemory.restore(ContinuousConfig(slots=4), state)
