"""`baton model`: what callers can name, and where it comes from."""

import pathlib

import pytest

from tests.cli.conftest import Cli
from tests.fakes import tiny_gguf


def test_list_joins_the_embedded_model_and_the_upstreams(
    cli: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public name stands once, with the file and with each upstream that answers for it."""
    path = tiny_gguf.write(tmp_path / "Tiny.gguf")
    monkeypatch.setenv("BATON_MODEL", str(path))
    for name in ("a", "b"):
        url = f"http://{name}/v1"
        cli("upstream", "add", name, "--url", url, "--model", f"tiny={name}", "--model", "x")
    rows = {row["model"]: row for row in cli.ok("model", "list")}
    assert {"tiny", "x"} == set(rows)
    assert ("embedded", str(path), ["a:a", "b:b"]) == tuple(
        rows["tiny"][field] for field in ("embedded", "file", "upstreams")
    )
    assert (None, ["a:x", "b:x"]) == (rows["x"]["embedded"], rows["x"]["upstreams"])


def test_a_model_that_is_not_fetched_says_so(
    cli: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing fetches nothing."""
    monkeypatch.setenv("BATON_MODEL", "smollm2-135m-instruct")
    monkeypatch.setenv("BATON_MODEL_CACHE", str(tmp_path / "cache"))
    assert "embedded, not fetched yet" == cli.ok("model", "list")[0]["embedded"]
    assert not (tmp_path / "cache").exists()


def test_fetch_finds_what_is_there(
    cli: Cli, default_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model in the cache is told with its digest; none is nothing to fetch."""
    assert {"model": None} == cli.ok("model", "fetch")
    monkeypatch.setenv("BATON_MODEL", "smollm2-135m-instruct")
    monkeypatch.setenv("BATON_MODEL_CACHE", str(default_model.parent))
    assert str(default_model) == cli.ok("model", "fetch")["file"]


def test_fetch_fails_with_a_remedy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the file and what to set."""
    monkeypatch.setenv("BATON_MODEL", "/nowhere/x.gguf")
    done = cli("model", "fetch")
    assert 1 == done.code
    assert "/nowhere/x.gguf" in done.err
