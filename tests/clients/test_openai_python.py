"""The official openai package for Python against a real server."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.running import Server

PROMPT = "Once upon a time there was a small"


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.base_url}/v1", api_key=server.key, max_retries=0) as made:
        yield made


def test_create(client: openai.OpenAI, server: Server) -> None:
    """A whole completion with usage and the request id that the package takes from the header."""
    answer = client.completions.create(
        model=server.model, prompt=PROMPT, max_tokens=8, temperature=0
    )
    assert answer.object == "text_completion"
    assert answer.model == server.model
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8
    assert answer._request_id


def test_details_are_read(client: openai.OpenAI, server: Server) -> None:
    """The package finds the usage details where it looks for them."""
    answer = client.completions.create(model=server.model, prompt=PROMPT, max_tokens=2)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert isinstance(answer.usage.prompt_tokens_details.cached_tokens, int)
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_stream(client: openai.OpenAI, server: Server) -> None:
    """A stream joins to the whole answer and ends with the same usage."""
    ask: dict[str, Any] = {"model": server.model, "prompt": PROMPT, "temperature": 0}
    whole = client.completions.create(max_tokens=24, **ask)
    stream = client.completions.create(
        max_tokens=24, stream=True, stream_options={"include_usage": True}, **ask
    )
    chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert len(chunks) > 10
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_stream_left_early(client: openai.OpenAI, server: Server) -> None:
    """A caller may close a stream; the next request is answered."""
    stream = client.completions.create(
        model=server.model, prompt=PROMPT, max_tokens=200, stream=True
    )
    next(iter(stream))
    stream.close()
    after = client.completions.create(model=server.model, prompt=PROMPT, max_tokens=1)
    assert after.choices[0].index == 0


def test_arrays_n_echo_and_logprobs(client: openai.OpenAI, server: Server) -> None:
    """Two prompts, two samples: four choices in order, each with its own prompt and scores."""
    answer = client.completions.create(
        model=server.model,
        prompt=["alpha one", "beta two"],
        n=2,
        max_tokens=4,
        logprobs=3,
        echo=True,
        temperature=0,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    starts = ["alpha one", "alpha one", "beta two", "beta two"]
    assert all(c.text.startswith(s) for c, s in zip(answer.choices, starts, strict=True))
    for choice in answer.choices:
        assert choice.logprobs is not None
        scores = choice.logprobs.model_dump()
        assert scores["token_logprobs"][0] is None
        assert scores["text_offset"][0] == 0


def test_raw_headers(client: openai.OpenAI, server: Server) -> None:
    """Headers are reachable, and the id is the one in the header."""
    raw = client.completions.with_raw_response.create(
        model=server.model, prompt=PROMPT, max_tokens=1
    )
    assert raw.headers["content-type"].startswith("application/json")
    assert float(raw.headers["openai-processing-ms"]) > 0
    assert raw.parse()._request_id == raw.headers["x-request-id"]


def test_bad_request(client: openai.OpenAI, server: Server) -> None:
    """400: the package's BadRequestError names the field."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=server.model, prompt=PROMPT, temperature=9)
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


def test_context_exceeded(client: openai.OpenAI, server: Server) -> None:
    """Too long: the code that libraries look for."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=server.model, prompt=PROMPT, max_tokens=900_000)
    assert caught.value.code == "context_length_exceeded"


def test_unknown_model(client: openai.OpenAI) -> None:
    """404: NotFoundError with OpenAI's code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="no-such-model", prompt=PROMPT)
    assert caught.value.code == "model_not_found"


def test_bad_key(client: openai.OpenAI, server: Server) -> None:
    """401: AuthenticationError, and the key is not repeated."""
    stranger = client.with_options(api_key="sk-nobody-0123456789abcdef")
    with pytest.raises(openai.AuthenticationError) as caught:
        stranger.completions.create(model=server.model, prompt=PROMPT)
    assert caught.value.code == "invalid_api_key"
    assert "sk-nobody" not in str(caught.value)


def test_models(client: openai.OpenAI, server: Server) -> None:
    """The list of models and one model of it."""
    listed = [model.id for model in client.models.list()]
    assert server.model in listed
    assert client.models.retrieve(server.model).id == server.model


def test_async_stream(server: Server) -> None:
    """The asynchronous client streams too, and its connection is usable afterwards."""
    texts = asyncio.run(_two_async_streams(server))
    assert texts[0] == texts[1] != ""


async def _two_async_streams(server: Server) -> list[str]:
    texts = []
    async with openai.AsyncOpenAI(
        base_url=f"{server.base_url}/v1", api_key=server.key, max_retries=0
    ) as client:
        for _ in range(2):
            stream = await client.completions.create(
                model=server.model, prompt=PROMPT, max_tokens=8, temperature=0, stream=True
            )
            texts.append("".join([chunk.choices[0].text async for chunk in stream]))
    return texts
