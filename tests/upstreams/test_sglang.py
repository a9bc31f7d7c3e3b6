"""What the SGLang dialect sends besides OpenAI's fields, what it claims, and how it reads names.

The bodies are what SGLang 0.5.23 said and took, of SmolLM2 135M."""

import json
from typing import Any

import msgspec

from baton.semantics.events import Call, Delta
from baton.upstreams.sglang import SglangAdapter

PLAIN = Call(model="m", prompts=[[1, 2]], max_tokens=16, temperature=0.5)
PARTS = ["bytes:\\xf0\\x9f", "bytes:\\x98", "bytes:\\x80"]


def sent(call: Call, **changes: object) -> Any:
    return json.loads(SglangAdapter().request(msgspec.structs.replace(call, **changes)).body)


def choice(text: str, names: list[str], reason: str | None = None) -> dict[str, Any]:
    """With logprobs as the server writes them; each token's alternative is one of a lone byte."""
    logprobs = {
        "text_offset": [-1] * len(names),
        "token_logprobs": [-0.5] * len(names),
        "tokens": names,
        "top_logprobs": [{name: -0.5, "\x92": -4.5} for name in names],
    }
    told = {"index": 0, "text": text, "logprobs": logprobs}
    return {**told, "finish_reason": reason, "matched_stop": None}


def deltas(call: Call, body: bytes) -> list[Delta]:
    decoder = SglangAdapter().decoder(call)
    found = [*decoder.feed(body), *decoder.finish()]
    return [event for event in found if isinstance(event, Delta)]


def test_neutral_sampling_is_always_sent() -> None:
    """The server's own defaults may come from the model's files."""
    assert sent(PLAIN) == {
        "model": "m",
        "prompt": [1, 2],
        "max_tokens": 16,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "temperature": 0.5,
        "top_p": 1.0,
    }


def test_native_and_not() -> None:
    """It refuses max_tokens 0 and more than 32 stops, and tells no ids unless it is asked to."""
    found = SglangAdapter.capabilities
    assert (found.prompt_logprobs, found.max_tokens_zero, found.token_ids) == (True, False, False)
    assert 32 == found.stop_max


def test_a_share_of_nothing_is_the_smallest_one() -> None:
    """It takes top_p above 0 alone; OpenAI's 0 leaves the likeliest token, and so does this."""
    assert 0 < sent(PLAIN, top_p=0.0)["top_p"] <= 1e-6


def test_a_prompt_is_scored_whatever_is_shown() -> None:
    """With logprobs 0 it scores the echo no more than without."""
    assert 1 == sent(PLAIN, echo=True, logprobs=0)["logprobs"]
    assert 0 == sent(PLAIN, logprobs=0)["logprobs"]
    assert 3 == sent(PLAIN, echo=True, logprobs=3)["logprobs"]
    assert "logprobs" not in sent(PLAIN, echo=True)


def test_a_schema_goes_as_text() -> None:
    """It takes a string there; what came as text goes as it is."""
    schema = {"type": "object", "required": ["é"]}
    as_text = sent(PLAIN, extra={"json_schema": schema})["json_schema"]
    assert schema == json.loads(as_text)
    assert "{}" == sent(PLAIN, extra={"json_schema": "{}", "top_k": 3})["json_schema"]


def test_parts_of_a_character_are_named_by_their_bytes() -> None:
    """It writes each byte of such a token as a letter of Latin-1; a letter stays one."""
    call = Call(model="m", prompts=["x"], max_tokens=9, logprobs=2)
    names = ["caf", "é", " ð\x9f\x98", "\x80", "ð", "ð\x9f", "\x98", "\x80"]
    [delta] = deltas(call, msgspec.json.encode({"choices": [choice("café 😀ð😀", names, "stop")]}))
    assert delta.logprobs is not None
    assert delta.logprobs.tokens == [
        "caf",
        "é",
        "bytes:\\x20\\xf0\\x9f\\x98",
        "bytes:\\x80",
        "ð",
        *PARTS,
    ]
    assert [1, 4, 5, 6, 7, 8, 8, 8] == delta.logprobs.text_offset
    assert {PARTS[0]: -0.5, "bytes:\\x92": -4.5} == delta.logprobs.top_logprobs[5]


def test_parts_that_come_before_their_character() -> None:
    """In a stream the text comes with the last of them."""
    call = Call(model="m", prompts=["x"], max_tokens=9, logprobs=2, stream=True)
    chunks = [
        choice("", ["ð\x9f"]),
        choice("", ["\x98"]),
        choice("😀", ["\x80"]),
        choice("é", ["é"], "stop"),
    ]
    body = b"".join(b"data: %b\n\n" % msgspec.json.encode({"choices": [c]}) for c in chunks)
    found = [each.logprobs for each in deltas(call, body + b"data: [DONE]\n\n")]
    assert [*PARTS, "é"] == [name for logprobs in found if logprobs for name in logprobs.tokens]
    offsets = [at for logprobs in found if logprobs for at in logprobs.text_offset]
    assert [1, 1, 1, 2] == offsets
