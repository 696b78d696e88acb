"""Rotary positions: the definition, offsets alone, and streams without end."""

import cmath
import math

import pytest
import torch
from torch import Tensor

from streammem.ops.local_attention import LocalCache, local_attention
from streammem.ops.rotary import AxialRotary

ROTARY = AxialRotary(time=6, rows=4, columns=2)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair_by_pair(x: Tensor, frame: int, columns: int) -> Tensor:
    """Turn `x [tokens, heads, headdim]` by ROTARY, each pair as one complex number."""
    speeds = [2 * math.pi * turns / 256 for turns in (41, 6, 1)]
    y = x.clone()
    for token in range(x.shape[0]):
        row, column = divmod(token, columns)
        angles = [frame * speed for speed in speeds] + [row, row / 10, column]
        for j, angle in enumerate(angles):
            for head in range(x.shape[1]):
                pair = complex(x[token, head, j], x[token, head, j + 6]) * cmath.exp(1j * angle)
                y[token, head, j], y[token, head, j + 6] = pair.real, pair.imag
    return y


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (7, 9)])
def test_it_is_the_definition(grid: tuple[int, int]) -> None:
    rows, columns = grid
    x = draw(3, rows * columns, 2, 15)
    frames = torch.tensor([0, 5, 300])
    turned = ROTARY.turns(frames, rows=rows, columns=columns).apply(x)
    for i, frame in enumerate(frames.tolist()):
        expected = pair_by_pair(x[i], frame, columns)
        torch.testing.assert_close(turned[i], expected, rtol=0, atol=5e-6)
    assert torch.equal(turned[..., 12:], x[..., 12:])


def scores(first: int, second: int) -> Tensor:
    """Return products of the queries of one frame with the keys of another."""
    q, k = draw(35, 2, 12), draw(35, 2, 12, seed=1)
    turns = ROTARY.turns(torch.tensor([first, second]), rows=5, columns=7)
    turned_q, turned_k = turns.apply(torch.stack([q, k]).float()).unbind()
    return torch.einsum("qhd,khd->hqk", turned_q, turned_k)


@pytest.mark.parametrize("later", [10**7, 10**7 + 3, 2**40, 10**15])
def test_what_attention_sees_does_not_change_with_the_length_of_a_stream(later: int) -> None:
    torch.testing.assert_close(scores(later, later - 4), scores(10, 6), rtol=0, atol=5e-6)


def test_frames_whole_periods_apart_are_turned_by_the_same_bits() -> None:
    assert torch.equal(scores(10 + 256 * 10**9, 6 + 256 * 10**9), scores(10, 6))


def test_no_two_offsets_within_a_period_look_alike() -> None:
    turns = ROTARY.turns(torch.arange(256), rows=1, columns=1)
    marks = torch.stack([turns.cos, turns.sin], dim=-1).flatten(1)
    distances = torch.cdist(marks, marks) + torch.eye(256)
    assert distances.min() > 1e-2


def test_only_the_offset_on_the_grid_counts() -> None:
    rotary = AxialRotary(rows=4, columns=4)
    x = torch.ones(1, 1, 8)
    turned = rotary.turns(torch.tensor(0), rows=6, columns=6).apply(x.expand(36, 1, 8))
    table = (turned[:, 0] @ turned[:, 0].T).reshape(6, 6, 6, 6)
    torch.testing.assert_close(table[0, 1, 2, 4], table[3, 2, 5, 5], rtol=0, atol=1e-5)
    assert (table[0, 0, 0, 1] - table[0, 0, 1, 0]).abs() < 1e-5
    assert (table[0, 0, 0, 1] - table[0, 0, 0, 0]).abs() > 1e-1


def test_a_late_stream_with_cached_keys_attends_as_an_early_one() -> None:
    q, k, v = (draw(1, 12, 6, 2, 16, seed=seed).float() for seed in range(3))

    def stream(origin: int) -> Tensor:
        cache, outputs = LocalCache.empty(k, 3), []
        for frame in range(12):
            here = slice(frame, frame + 1)
            turns = ROTARY.turns(
                cache.frames + origin + torch.zeros(1, 1).long(), rows=2, columns=3
            )
            y, cache = local_attention(
                turns.apply(q[:, here]),
                turns.apply(k[:, here]),
                v[:, here],
                window_frames=3,
                cache=cache,
            )
            outputs.append(y)
        return torch.cat(outputs, dim=1)

    torch.testing.assert_close(stream(10**7), stream(0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_it_keeps_dtype_and_length(dtype: torch.dtype) -> None:
    x = draw(2, 3, 6, 2, 16).to(dtype)
    turned = ROTARY.turns(torch.tensor([[1, 2, 3], [7, 8, 9]]), rows=3, columns=2).apply(x)
    assert turned.dtype == dtype
    lengths = (turned.double().norm(dim=-1), x.double().norm(dim=-1))
    torch.testing.assert_close(*lengths, rtol=1e-2 if x.element_size() == 2 else 1e-6, atol=0)


def test_gradients_turn_back() -> None:
    x = draw(1, 6, 1, 14).requires_grad_()
    turns = ROTARY.turns(torch.tensor([3]), rows=2, columns=3)
    torch.autograd.gradcheck(turns.apply, [x])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time": 3}, "time must be an even number of channels, got 3"),
        ({"rows": -2}, "rows must be an even number of channels, got -2"),
        ({"columns": 1}, "columns must be an even number of channels, got 1"),
        ({"period_frames": 4}, "period_frames must be 8 or more, got 4"),
    ],
)
def test_what_cannot_be_turned_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AxialRotary(**settings)


def test_a_head_with_too_few_channels_is_refused() -> None:
    turns = ROTARY.turns(torch.tensor(0), rows=2, columns=3)
    with pytest.raises(ValueError, match="turns 12 channels, but the head has 8"):
        turns.apply(torch.zeros(6, 2, 8))
