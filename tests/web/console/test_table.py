"""The table of all screens."""

from baton.web.console.table import SCREENS


def test_no_route_stands_there_twice() -> None:
    places = [(one.method, one.path) for one in SCREENS]
    assert len(places) == len(set(places))
    assert all(path == "/console" or path.startswith("/console/") for _, path in places)
