"""Models and engines that the engine's tests share: loading them takes most of their time."""

import pathlib
from collections.abc import Iterator

import pytest

from baton.engine.llama import Context, Library, Model, load_library
from tests.engine.rig import Rig
from tests.fakes import tiny_gguf


@pytest.fixture(scope="session")
def library() -> Library:
    return load_library()


@pytest.fixture(scope="session")
def model(library: Library, default_model: pathlib.Path) -> Iterator[Model]:
    """The default model."""
    loaded = Model(library, str(default_model))
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def plain(model: Model) -> Iterator[Context]:
    """A context for direct computation, to compare with."""
    context = Context(model, 1, 512, threads=1)
    yield context
    context.close()


@pytest.fixture(scope="session")
def rig(model: Model) -> Iterator[Rig]:
    """A running engine on the default model: 8 sequences of 512 tokens."""
    with Rig(model) as started:
        yield started


@pytest.fixture(scope="session")
def tiny(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A model of noise with FIM tokens, which computes a token in a fraction of a millisecond."""
    path = tiny_gguf.write(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    loaded = Model(library, str(path))
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def tiny_rig(tiny: Model) -> Iterator[Rig]:
    """A running engine on the tiny model: 4 sequences of 256 tokens."""
    with Rig(tiny, sequences=4, tokens=256) as started:
        yield started
