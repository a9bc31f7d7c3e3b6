"""What is prepared once per worker."""

import pathlib

from baton.web.routes import OPERATIONS
from baton.web.site import HERE, Site, pretty, static_file
from tests.fakes.web_parts import Parts


def test_everything_is_prepared_without_a_request(tmp_path: pathlib.Path) -> None:
    """Files, texts and documents are in memory: no page reads a disk while it is served."""
    parts = Parts(tmp_path)
    site = Site(parts.services(), OPERATIONS)
    parts.store.close()
    assert {path.name for path in (HERE / "static").iterdir()} == set(site.static)
    assert "https://relay.test/base" == site.contract["servers"][0]["url"]
    assert site.operation("completions", "createcompletion") is OPERATIONS[0]
    assert site.operation("tokens", "createcompletion") is None


def test_a_file_s_version_changes_with_its_bytes(tmp_path: pathlib.Path) -> None:
    """So that it may be cached for good under its version."""
    path = tmp_path / "page.js"
    versions = set()
    for content in (b"1", b"2"):
        path.write_bytes(content)
        versions.add(static_file(path).version)
    assert 2 == len(versions)
    assert "text/javascript" == static_file(path).media


def test_documents_are_indented() -> None:
    """And keep Chinese as it is."""
    assert '{\n  "a": "补"\n}'.encode() == pretty({"a": "补"})
