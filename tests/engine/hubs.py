"""A hub with a model, and settings that name it: what tests of hubs share."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping

import pytest

from baton import config
from baton.engine import models
from tests.fakes import fake_hub
from tests.fakes.fake_hub import Hub, Repository

Q4, Q8 = b"GGUF" + b"four" * 25_000, b"GGUF" + b"8" * 200_000
FILES = {"README.md": b"hello", "Toy-Q4_K_M.gguf": Q4, "sub/Toy-Q8_0.gguf": Q8}
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT")


@contextlib.contextmanager
def hub(
    monkeypatch: pytest.MonkeyPatch, files: Mapping[str, bytes] = FILES, *, gated: bool = False
) -> Iterator[Hub]:
    """A hub with me/Toy-GGUF, which the environment names."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", "/nowhere/token")
    monkeypatch.setattr("baton.engine.hub.PAUSE_S", 0.0)
    with fake_hub.serving({"me/Toy-GGUF": Repository(dict(files), gated=gated)}) as served:
        monkeypatch.setenv("HF_ENDPOINT", f"{served.url}/")
        yield served


def settings(folder: pathlib.Path, name: str) -> config.Settings:
    return config.load(
        {"BATON_HOME": str(folder), "BATON_MODEL_CACHE": str(folder / "cache"), "BATON_MODEL": name}
    )


def resolve(folder: pathlib.Path, name: str, *, newest: bool = False) -> models.ModelFile:
    found = models.resolve(settings(folder, name), newest=newest)
    assert found is not None
    return found


def place(folder: pathlib.Path, name: str) -> models.ModelPlace:
    found = models.locate(settings(folder, name))
    assert found is not None
    return found


def told(folder: pathlib.Path, name: str, *, newest: bool = False) -> str:
    """What is said where it cannot be had."""
    with pytest.raises(models.ModelError) as raised:
        resolve(folder, name, newest=newest)
    said = str(raised.value)
    secret = os.environ.get("HF_TOKEN", "")
    assert not secret or secret not in said
    return said
