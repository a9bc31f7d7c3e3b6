"""The doors over a whole worker: the same completion as at /v1/completions, in other words."""

import json
import pathlib
from typing import Any

from baton.doors.doors import DOORS
from baton.http.paths import PATHS
from tests.relaying import MODEL, relaying

INFILL = {"input_prefix": "the ", "prompt": "a", "input_suffix": " of", "n_predict": 5}
FIM = {"model": MODEL, "prompt": "the a", "suffix": " of", "max_tokens": 5, "temperature": 0.8}


def events(text: str) -> list[Any]:
    blocks = [block.removeprefix("data: ") for block in text.split("\n\n") if block]
    return [block if block == "[DONE]" else json.loads(block) for block in blocks]


def test_every_path_has_its_door() -> None:
    """None is promised that is not there."""
    assert {door for door in PATHS.values() if door} == set(DOORS)


def test_both_doors(tmp_path: pathlib.Path) -> None:
    """Whole and streamed, with and without a model in the path: one text, one usage, charged."""
    with relaying(tmp_path, {"fake": "openai"}) as relay:
        same = {"suffix": " of", "max_tokens": 5, "temperature": 0.8, "top_p": 0.95}
        plain = relay.user.complete(prompt="the a", **same).json
        text = plain["choices"][0]["text"]
        whole = relay.user.post("/infill", INFILL)
        assert (whole.status, whole.json["content"]) == (200, text)
        assert whole.json["tokens_predicted"] == plain["usage"]["completion_tokens"]
        assert whole.headers["x-baton-upstream"] == "fake"
        under = relay.user.post(f"/m/{MODEL}/infill", {**INFILL, "stream": True})
        pieces = events(under.text)
        assert "".join(piece["content"] for piece in pieces) == text
        assert [piece["stop"] for piece in pieces] == [*[False] * (len(pieces) - 1), True]
        fim = relay.user.post("/v1/fim/completions", {**FIM, "top_p": 0.95})
        assert fim.json["choices"][0]["message"]["content"] == text
        streamed = relay.user.post("/v1/fim/completions", {**FIM, "top_p": 0.95, "stream": True})
        *chunks, done = events(streamed.text)
        assert done == "[DONE]"
        assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == text
        handoffs = chunks[-1]["usage"].pop("baton")
        assert (chunks[-1]["usage"], handoffs) == (fim.json["usage"], {"handoffs": 0})
        sent = [{**body, "stream": 0, "stream_options": 0} for body in relay.fake.seen]
        assert all(body == sent[0] for body in sent)
    charges = {row.charge for row in relay.rows()}
    assert len(relay.rows()) == 5
    assert len(charges) == 1


def test_refusals(tmp_path: pathlib.Path) -> None:
    """In OpenAI's error shape, with this shape's field names; strictness holds here, too."""
    with relaying(tmp_path, {"fake": "openai"}) as relay:
        for path, body, param in (
            ("/infill", {**INFILL, "n_predict": 10**9}, "n_predict"),
            ("/v1/fim/completions", {**FIM, "random_seed": "x"}, "random_seed"),
            ("/v1/fim/completions", {"model": MODEL}, "prompt"),
        ):
            refused = relay.user.post(path, body)
            assert (refused.status, refused.error["param"]) == (400, param)
        told = relay.user.post("/infill", {**INFILL, "top_k": 40})
        assert told.headers["x-baton-ignored"] == "top_k"
        strict = relay.user.post("/infill", {**INFILL, "top_k": 40}, x_baton_strict="true")
        assert strict.status == 400
        assert relay.user.get("/infill").status == 405


def test_a_cut_stream_is_told(tmp_path: pathlib.Path) -> None:
    """An error event, no `"stop": true`, no [DONE]."""
    with relaying(tmp_path, {"fake": "openai"}) as relay:
        for path, body in (("/infill", INFILL), ("/v1/fim/completions", FIM)):
            relay.fake.fault(cut_after_bytes=900, times=9)
            cut = relay.user.post(path, {**body, "n_predict": 60, "max_tokens": 60, "stream": True})
            assert "error" in events(cut.text)[-1]
            relay.fake.faults.clear()
