"""What many tests share: the default model, fetched once into the ordinary model cache."""

import os
import pathlib

import pytest

from baton import config
from baton.engine import models


def _silent(name: str, done: int, total: int) -> None:
    """Progress for nobody."""


@pytest.fixture(scope="session")
def default_model() -> pathlib.Path:
    """The default model's GGUF; BATON_TEST_MODEL stands in for it where it is set."""
    given = os.environ.get("BATON_TEST_MODEL", models.DEFAULT.name)
    environment = {k: v for k, v in os.environ.items() if k == "BATON_MODEL_CACHE" or "XDG" in k}
    found = models.resolve(config.load({**environment, "BATON_MODEL": given}), _silent)
    assert found is not None
    return found.path
