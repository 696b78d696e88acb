"""How large a token memory is."""

from dataclasses import dataclass, fields

from memory_banks.tokens.store import VALUE, Columns, objects_of
from streammem.errors import UsageError


@dataclass(frozen=True, slots=True)
class TokenMemoryConfig:
    """Settings of a token memory; the defaults are the paper's, at 480 x 864 pixels and stride 16.

    `key_dim` is C and `value_dim` V. A query reads its `top_k` most similar tokens. Working memory
    goes from `max_frames` (T_max) down to `min_frames` (T_min), by `prototypes` (P) into at most
    `long_term_tokens`. A frame has at most `frame_tokens`, and at most `objects` are held at once.
    """

    key_dim: int = 64
    value_dim: int = 512
    top_k: int = 30
    max_frames: int = 10
    min_frames: int = 5
    prototypes: int = 128
    long_term_tokens: int = 10_000
    frame_tokens: int = 1_620
    objects: int = 1

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.min_frames >= self.max_frames:
            raise UsageError(
                f"min_frames must be below max_frames, got {self.min_frames} and {self.max_frames}"
            )
        if self.prototypes > self.long_term_tokens:
            raise UsageError(
                f"long_term_tokens must have room for the {self.prototypes} prototypes that come "
                f"at once, got {self.long_term_tokens}"
            )

    @property
    def capacity(self) -> int:
        """Tokens of both memories at most."""
        return self.max_frames * self.frame_tokens + self.long_term_tokens

    @property
    def limit_bytes(self) -> int:
        """What a memory takes at most: float32 throughout, and 17 bytes a token to count usage."""
        working = self.max_frames * self.frame_tokens
        a_token = 4 * self.key_dim + 20 + self.objects * (4 * self.value_dim + 1)
        return self.capacity * a_token + working * 4 * self.key_dim


def check_goes_on(config: TokenMemoryConfig, state: Columns) -> None:
    """Refuse settings with which a memory of that state cannot be."""
    first, long_term, _ = state["counters"].tolist()
    objects = objects_of(state)
    exact = {"key_dim": state["key"].shape[1]}
    if objects:
        exact["value_dim"] = state[VALUE + objects[0]].shape[1]
    least = {
        "max_frames": len(state["lengths"]) + 2,
        "frame_tokens": max(first, *state["lengths"], 1),
        "long_term_tokens": long_term,
        "objects": len(objects),
    }
    for name, needed in {**exact, **least}.items():
        allowed = getattr(config, name)
        if needed > allowed or (name in exact and needed != allowed):
            raise UsageError(
                f"a token memory with {name}={allowed} cannot go on from this state, which needs "
                f"{needed}; use the settings it was made with"
            )
