"""What the tests of the benchmarks measure, briefly: started once."""

import pathlib
from collections.abc import Iterator

import pytest

from bench import processes
from bench.relays import Relay, beside_nginx

Stage = tuple[pathlib.Path, list[Relay]]


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    """A folder; the mock, nginx and a Baton of two workers, which soon count as quiet again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "QUIET_S", 0.05)
        with beside_nginx({"BATON_WORKERS": "2"}, interval_us=500) as made:
            yield made
