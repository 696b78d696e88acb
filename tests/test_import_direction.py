"""One direction of imports: streammem <- memory_banks <- pipelines <- apps."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("streammem", "memory_banks", "pipelines", "apps")
# The façade: `streammem.open` loads the pipeline when it is called.
ALLOWED_UP = {("streammem/__init__.py", "pipelines")}


def imports(path: Path) -> set[str]:
    """Return the top-level names that the file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("floor", FLOORS)
def test_nothing_imports_a_higher_floor(floor: str) -> None:
    higher = set(FLOORS[FLOORS.index(floor) + 1 :]) | {"tests", "scripts"}
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        wrong = {up for up in imports(path) & higher if (name, up) not in ALLOWED_UP}
        assert not wrong, f"{name} imports {', '.join(sorted(wrong))} from a higher floor"
