"""One application for all tests of the routes: what they store has names of their own."""

from collections.abc import Iterator

import pytest

from tests.fakes.web_parts import Parts, Web, web


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    parts = Parts(tmp_path_factory.mktemp("web"), cors_origins="https://app.test")
    with web(parts) as running:
        yield running


@pytest.fixture
def _no_upstreams_left(site: Web) -> Iterator[None]:
    """For tests that add upstreams to the site of all: they are gone for the next ones."""
    yield
    for name in list(site.parts.catalogue.upstreams):
        assert 200 == site.admin.ask("DELETE", f"/admin/v1/upstreams/{name}").status
