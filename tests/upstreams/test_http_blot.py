"""What an upstream says of errors, without our keys: in its status, or within an answer."""

import dataclasses
import json
from collections.abc import Mapping

import pytest
import uvloop

from baton.errors import RequestError
from baton.semantics.events import Call
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import blot
from baton.upstreams.refusals import MESSAGE_LENGTH_MAX
from baton.upstreams.registry import build
from tests.fakes.fake_completions import FakeCompletions
from tests.upstreams.test_http import Record

KEY = "Zq7/unlike-any-usual-key-0123456789"
IN_A_NAME = KEY.replace("/", ".")


def caught(key: str, said: Mapping[str, str], *, within: bool) -> RequestError:
    """What the caller is told of an error in these words."""

    async def scenario() -> RequestError:
        async with FakeCompletions("vllm", key=key) as fake:
            record = dataclasses.replace(Record(fake.url, "vllm"), secret=key)
            built = build(record, TransportLimits())
            body = json.dumps({"error": {"type": "invalid_request_error", **said}})
            head = ["Content-Type: application/json"]
            fake.fault(status=200 if within else 400, body=body, headers=head)
            try:
                stream = await built.open(Call(model="m", prompts=["a b"], max_tokens=2))
                await stream.read()
            except RequestError as error:
                return error
            finally:
                await built.close()
        raise AssertionError("it was answered")

    return uvloop.run(scenario())


@pytest.mark.parametrize("within", [False, True])
def test_keys_are_in_no_field(within: bool) -> None:
    """Neither in the words nor in the names."""
    said = {"message": f"no: {IN_A_NAME}", "param": IN_A_NAME, "code": f"bad_{IN_A_NAME}"}
    error = caught(IN_A_NAME, said, within=within)
    assert IN_A_NAME not in error.body().decode()
    assert error.message == "no: [key]"


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("before", range(MESSAGE_LENGTH_MAX - len(KEY), MESSAGE_LENGTH_MAX, 5))
def test_a_key_is_not_told_in_part(before: int, within: bool) -> None:
    """Where a long message ends within it."""
    words = ("x " * MESSAGE_LENGTH_MAX)[:before]
    error = caught(KEY, {"message": f"{words}{KEY} and more " + "y" * 999}, within=within)
    assert KEY[:4] not in error.message
    assert error.message.startswith(words.strip())


def test_words_that_are_no_key_stay() -> None:
    """Also where they end as a key begins, by a few letters; and names that there are none of."""
    error = RequestError(400, "no such model: Zq7", param="prompt")
    blot(error, [KEY.encode()])
    assert (error.message, error.param, error.code) == ("no such model: Zq7", "prompt", None)
