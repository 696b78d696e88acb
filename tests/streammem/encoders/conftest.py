"""The packaged models, where they are on this machine, in a home whose cache is the tests' own."""

from pathlib import Path

import pytest

from streammem import model_files


@pytest.fixture(scope="session")
def packaged_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with links to the packaged models and an empty cache; skip without models."""
    if not all(model.ready for model in model_files.status()):
        pytest.skip("the packaged models are not here; add them: streammem models add embedded")
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(model_files.models_folder().resolve(), target_is_directory=True)
    return home
