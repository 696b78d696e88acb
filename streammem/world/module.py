"""What every part of the world model is built on: a torch module that diffusers saves and loads."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

_P = ParamSpec("_P")
_R = TypeVar("_R")


class WorldModule(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A diffusers model: `save_pretrained` writes safetensors beside the settings as JSON."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]


def working_dtype(weight: Tensor) -> torch.dtype:
    """Return the dtype of what a layer with `weight` makes: under autocast, autocast's."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


def configured(init: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have `__init__` record its arguments as the module's settings."""
    recorded: Callable[_P, _R] = register_to_config(init)  # type: ignore[no-untyped-call]
    return recorded
