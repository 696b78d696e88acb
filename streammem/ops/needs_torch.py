"""Imported first by what works on tensors alone: says how torch is added where it is missing."""

from importlib.util import find_spec

from streammem.errors import MissingExtra

if find_spec("torch") is None:
    raise MissingExtra("torch", "world")
