"""A server that takes fields and does not heed them, as some do: nothing of it is silently wrong.

What it answers was recorded of such a server (a mock that comes with a load generator): one choice,
whatever `n`, `echo`, `logprobs` or `best_of` say, and a count that is right.
"""

import json
import pathlib

import pytest

from tests.asking import Answer
from tests.relaying import Relay, relaying

ONE = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "theirs",
    "choices": [{"text": "Score each cause.", "index": 0, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13},
}
EVENTS = (
    'data: {"object":"text_completion","choices":[{"text":"Score","index":0,'
    '"finish_reason":null}]}\n\n'
    'data: {"object":"text_completion","choices":[{"text":"","index":0,"finish_reason":"stop"}]}'
    "\n\ndata: [DONE]\n\n"
)
FIELDS: list[tuple[str, dict[str, object]]] = [
    ("n", {"n": 2}),
    ("prompt", {"prompt": ["a", "b"]}),
    ("logprobs", {"logprobs": 0}),
    ("echo", {"echo": True}),
    ("echo", {"echo": True, "max_tokens": 0}),
]
WHOLE: list[tuple[str, dict[str, object]]] = [("best_of", {"best_of": 3})]


def ask(relay: Relay, stream: bool, **fields: object) -> Answer:
    kind = "text/event-stream" if stream else "application/json"
    body = EVENTS if stream else json.dumps(ONE)
    relay.fake.fault(status=200, body=body, headers=[f"Content-Type: {kind}"])
    return relay.user.complete(**{"prompt": "the river", "stream": stream, **fields})


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_heeded_is_refused(tmp_path: pathlib.Path, stream: bool) -> None:
    """By name, in the caller's word for the model; nothing is charged, and the server, which did
    nothing wrong to others, is not taken for ill."""
    fields = FIELDS if stream else FIELDS + WHOLE
    with relaying(tmp_path) as relay:
        for _ in range(2):
            for field, asked in fields:
                answer = ask(relay, stream, **asked)
                error = json.loads(answer.events[-1])["error"] if answer.events else answer.error
                assert (field, "unsupported_parameter") == (error["param"], error["code"]), asked
                assert "with the model 'm': its server" in error["message"]
        assert 0 == relay.worker._configured.sites["fake"].numbers().ejections
        assert 200 == ask(relay, stream).status
    rows = relay.rows()
    assert {"settled"} == {row.state for row in rows[-1:]}
    for row in rows[:-1]:
        begun = stream and row.state == "interrupted"
        assert ("released", 0) == (row.state, row.charge) or begun, row
