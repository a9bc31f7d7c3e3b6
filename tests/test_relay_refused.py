"""Refusals that come under a 200: they are the caller's to know, and no failure of the upstream."""

import json
import pathlib
from typing import Any

import pytest

from tests.relaying import Relay, relaying

REFUSAL = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (1200 tokens) exceeds the available context size (512 tokens)",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 1200,
            "n_ctx": 512,
        }
    }
)
"""What llama-server answers to [long, short]: it opens the stream of several prompts before it has
looked at each."""


def believed(relay: Relay, **asked: Any) -> None:
    """The refusal that its upstream answers with is told after one call; the same request is
    answered then."""
    refused = relay.user.complete(**asked)
    calls = len(relay.fake.seen)
    after = relay.user.complete(**asked)
    assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")
    assert refused.error["param"] == "prompt"
    assert refused.error["message"].startswith("This model's maximum context length is 512 tokens")
    assert (calls, after.status) == (1, 200)


@pytest.mark.parametrize("dialect", ["llama-server", "vllm", "openai"])
@pytest.mark.parametrize("prompt", ["a b", ["a b", "c"]])
@pytest.mark.parametrize("stream", [True, False])
def test_before_the_first_text(
    tmp_path: pathlib.Path, dialect: str, prompt: str | list[str], stream: bool
) -> None:
    """A 400 with the code; nothing is charged, asked again or taken for ill."""
    with relaying(tmp_path, {"fake": dialect}) as relay:
        streamed = stream or dialect == "llama-server"
        relay.fake.fault(
            status=200,
            body=f"data: {REFUSAL}\n\n" if streamed else REFUSAL,
            headers=[f"Content-Type: {'text/event-stream' if streamed else 'application/json'}"],
        )
        believed(relay, prompt=prompt, stream=stream)
    first, _ = relay.rows()
    assert (first.state, first.charge) == ("released", 0)


@pytest.mark.parametrize("fields", [{}, {"n": 2}, {"logprobs": 1}])
def test_within_a_stream(tmp_path: pathlib.Path, fields: dict[str, int]) -> None:
    """What came is charged; the stream ends with the refusal, and nobody else is asked."""
    with relaying(tmp_path, {"fake": "vllm"}) as relay:
        relay.fake.fault(insert_after_event=3, insert=REFUSAL)
        answer = relay.user.complete(prompt="a b", stream=True, **fields)
        calls = len(relay.fake.seen)
        after = relay.user.complete(prompt="a b")
    assert answer.events is not None
    assert json.loads(answer.events[-1])["error"]["code"] == "context_length_exceeded"
    assert (calls, after.status) == (1, 200)
    first, _ = relay.rows()
    assert (first.state, first.status) == ("interrupted", 400)
    assert first.charge > 0


def test_no_key_is_told(tmp_path: pathlib.Path) -> None:
    """Of what an upstream says, as in any other refusal."""
    said = {"code": 400, "message": "no, sk-abcdefghijkl", "type": "invalid_request_error"}
    with relaying(tmp_path, {"fake": "vllm"}) as relay:
        relay.fake.fault(insert_after_event=0, insert=json.dumps({"error": said}))
        refused = relay.user.complete(prompt=["a b", "c"], stream=True)
    assert (refused.status, refused.error["message"]) == (400, "no, [key]")


CHATS_SAY = {
    "openai-chat": {
        "error": {
            "message": "This model's maximum context length is 512 tokens, not 1200.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
    "gemini": {
        "error": {
            "code": 400,
            "message": "The input token count (1200) exceeds the maximum number of tokens allowed"
            " (512).",
            "status": "INVALID_ARGUMENT",
        }
    },
    "anthropic": {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "prompt is too long: 1200 tokens > 512 maximum",
        },
    },
    "ollama": {"error": "the input length exceeds the context length of 512 tokens"},
}
"""How chats say under a 200 that a prompt is too long."""
FRAMES = {
    True: ("data: {}\n\n", "text/event-stream"),
    False: ("{}", "application/json"),
}


@pytest.mark.parametrize("dialect", list(CHATS_SAY))
@pytest.mark.parametrize("stream", [True, False])
def test_of_a_chat(tmp_path: pathlib.Path, dialect: str, stream: bool) -> None:
    """By each dialect's own words: a 400, of one call, and nobody is taken for ill."""
    frame, media_type = FRAMES[stream]
    if stream and dialect == "ollama":
        frame, media_type = "{}\n", "application/x-ndjson"
    with relaying(tmp_path, {"fake": dialect}) as relay:
        relay.fake.fault(
            status=200,
            body=frame.format(json.dumps(CHATS_SAY[dialect])),
            headers=[f"Content-Type: {media_type}"],
        )
        believed(relay, prompt="a b", stream=stream)
    first, _ = relay.rows()
    assert (first.state, first.charge) == ("released", 0)
