"""`baton model`: what callers can name, and where it comes from."""

import pathlib

import pytest

from tests.cli.conftest import Cli
from tests.engine.hubs import Q4, hub
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


def test_a_model_on_a_hub(
    cli: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed before it is there; fetched once, and again only where the newest is asked for."""
    name = "hf:me/Toy-GGUF:Q8_0"
    monkeypatch.setenv("BATON_MODEL", name)
    monkeypatch.setenv("BATON_MODEL_CACHE", str(tmp_path / "cache"))
    (row,) = cli.ok("model", "list")
    assert ("toy", "embedded, not fetched yet", None, name) == tuple(
        row[field] for field in ("model", "embedded", "file", "source")
    )
    with hub(monkeypatch) as served:
        repository = served.repositories["me/Toy-GGUF"]
        first = [cli("model", "fetch", "--json").json for _ in range(2)]
        assert f"{name} ({repository.commit})" == first[0]["source"]
        assert first[0] == first[1]
        repository.change({"Toy-Q8_0.gguf": Q4})
        assert first[0] == cli.ok("model", "fetch")
        newest = cli("model", "fetch", "--newest", "--json").json
        assert f"{name} ({repository.commit})" == newest["source"]
    assert (newest["source"], newest["file"]) == tuple(
        cli.ok("model", "list")[0][field] for field in ("source", "file")
    )


def test_a_name_that_is_none_stops_commands(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other setting that nobody can mean."""
    monkeypatch.setenv("BATON_MODEL", "hf:toy")
    done = cli("model", "list")
    assert 1 == done.code
    assert "BATON_MODEL names no model on a hub: write it as hf:OWNER/REPO:QUANT" in done.err


def test_fetch_fails_with_a_remedy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the file and what to set."""
    monkeypatch.setenv("BATON_MODEL", "/nowhere/x.gguf")
    done = cli("model", "fetch")
    assert 1 == done.code
    assert "/nowhere/x.gguf" in done.err
