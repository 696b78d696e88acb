"""The block scan beside Mamba-2 in transformers, where the two are the same function."""

import pytest

from streammem.ops.block_scan import block_scan
from tests.scan_cases import relative_error, scan_inputs

mamba2 = pytest.importorskip(
    "transformers.models.mamba2.modeling_mamba2", reason="transformers is not installed"
)


@pytest.mark.parametrize("chunk", [16, 64])
@pytest.mark.parametrize(("length", "groups"), [(1, 1), (100, 2), (128, 4)])
def test_one_tile_is_mamba_2(length: int, groups: int, chunk: int) -> None:
    inputs = scan_inputs(
        batch=2, frames=length, rows=1, columns=1, tile=(1, 1), heads=4, groups=groups
    )
    y, state = block_scan(**inputs, backend="torch", chunk=chunk)
    x, dt, B, C = (inputs[name].flatten(1, 3) for name in ("x", "dt", "B", "C"))
    theirs, their_state = mamba2.mamba2_chunk_scan(
        x,
        dt,
        inputs["A"],
        B,
        C,
        chunk,
        D=inputs["D"],
        initial_states=inputs["initial_state"][:, 0].mT,
        return_final_states=True,
    )
    assert relative_error(y.flatten(1, 3), theirs) < 1e-5
    assert relative_error(state[:, 0], their_state.mT) < 1e-5
