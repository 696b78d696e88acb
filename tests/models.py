"""A mark for tests that use the embedded models for real."""

import pytest

from streammem import model_files

needs_models = pytest.mark.skipif(
    not all(state.ready for state in model_files.status() if state.name == "embedded"),
    reason="the embedded models are missing: streammem models add embedded",
)
