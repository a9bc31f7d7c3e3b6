"""The live check of an upstream by the admin API."""

import pytest

from tests.fakes.web_parts import Web

pytestmark = pytest.mark.usefixtures("_no_upstreams_left")

UPSTREAM = {
    "name": "checked",
    "url": "http://127.0.0.1:9/v1",
    "dialect": "vllm",
    "models": {"big": "org/big"},
    "secret": "provider-secret-0123456789",
}


def test_an_upstream_is_asked(site: Web) -> None:
    """Nobody listens there: one row says so, without a word of the key."""
    assert site.admin.post("/admin/v1/upstreams", UPSTREAM).status == 201
    checked = site.admin.post("/admin/v1/upstreams/checked/check", {})
    assert checked.status == 200
    [row] = checked.json["data"]
    assert (row["capability"], row["found"], row["declared"]) == ("completes", "failed", True)
    assert row["remedy"] == "check address, key and model"
    assert "provider-secret" not in checked.text
    unknown = site.admin.post("/admin/v1/upstreams/checked/check", {"model": "small"})
    assert (unknown.status, unknown.error["param"]) == (400, "model")
    assert site.admin.post("/admin/v1/upstreams/none/check", {}).status == 404


def test_an_upstream_that_cannot_be_built(site: Web) -> None:
    """Its dialect came with a package that is gone: told in words, no fault of ours."""
    assert site.admin.post("/admin/v1/upstreams", UPSTREAM).status == 201
    site.parts.store.upstreams.update("checked", "test", dialect="gone")
    checked = site.admin.post("/admin/v1/upstreams/checked/check", {})
    assert checked.status == 400
    assert "there is no dialect 'gone'" in checked.error["message"]
