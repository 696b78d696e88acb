"""Thresholds from what was measured: the lowest that keeps confident wrong answers rare."""

import math
from collections.abc import Sequence

import numpy as np


def lowest_threshold(
    confidences: Sequence[float], truths: Sequence[bool], *, wrong_at_most: float = 0.05
) -> float:
    """Return the lowest confidence from which on at most a share `wrong_at_most` is wrong.

    `truths` say for each of `confidences` whether the claim made at that confidence is right. The
    share is taken over all claims at or above the threshold, which is one of `confidences`;
    infinity where no threshold is good enough, as then nothing should be claimed.
    """
    if len(confidences) != len(truths):
        raise ValueError(
            f"every confidence needs its truth, got {len(confidences)} and {len(truths)}"
        )
    order = np.argsort(-np.asarray(confidences, float), kind="stable")
    values = np.asarray(confidences, float)[order]
    wrong = np.cumsum(~np.asarray(truths, bool)[order])
    last_of_value = np.append(values[1:] < values[:-1], [True])[: len(values)]
    good = last_of_value & (wrong <= wrong_at_most * np.arange(1, len(values) + 1))
    return float(values[good][-1]) if good.any() else math.inf


def wilson_interval(right: int, total: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a share, of 95 % with the default `z` (Wilson, 1927)."""
    if total == 0:
        return 0.0, 1.0
    share, square = right / total, z * z / total
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / total + square / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)
