"""A site of the console's own: what its tests book, other tests of routes do not see."""

from collections.abc import Iterator

import pytest

from tests.fakes.web_parts import Parts, Web, web


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    parts = Parts(tmp_path_factory.mktemp("console"))
    with web(parts) as running:
        yield running
