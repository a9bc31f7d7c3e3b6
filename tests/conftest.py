"""What many tests share: the default model, fetched once, and one running server that serves it."""

import os
import pathlib
from collections.abc import Generator, Iterator

import pytest

from baton import config
from baton.engine import models
from tests import running, servers, turns

LONG = ("tests/faults/", "tests/system/", "tests/browser/")
"""Their tests take seconds each. They come first: a long one that began last would keep one of
two processes waiting for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turns.turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


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


@pytest.fixture(scope="session")
def server(
    default_model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[running.Server]:
    """One `baton serve` with the default model, for all tests of the whole program."""
    with running.serving(tmp_path_factory.mktemp("session") / "home") as started:
        yield started


@pytest.fixture(scope="session")
def cluster() -> Iterator[servers.Postgres]:
    """One PostgreSQL for all tests that only need a database in it."""
    with servers.postgres() as started:
        yield started
