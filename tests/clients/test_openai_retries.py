"""Rates and retries as the official packages see them: what to wait, and when not to try again."""

import time

import openai

from tests.clients.conftest import PER_MINUTE
from tests.running import Server

WAIT_MAX_S = 5.0


def exhaust(client: openai.OpenAI, model: str) -> openai.RateLimitError:
    """Ask until the rate is used up; the error that tells it."""
    for _ in range(2 * PER_MINUTE):
        try:
            client.completions.create(model=model, prompt="a", max_tokens=0, echo=True)
        except openai.RateLimitError as error:
            return error
    raise AssertionError(f"{2 * PER_MINUTE} requests passed a limit of {PER_MINUTE} a minute")


def test_rate_limit(server: Server, limited_key: str) -> None:
    """429 with the wait in both forms; the package waits so long and then succeeds."""
    with openai.OpenAI(
        base_url=f"{server.base_url}/v1", api_key=limited_key, max_retries=0
    ) as client:
        error = exhaust(client, server.model)
        wait_ms = float(error.response.headers["retry-after-ms"])
        assert error.code == "rate_limit_exceeded"
        assert 0 < wait_ms <= 1000 * WAIT_MAX_S
        assert int(error.response.headers["retry-after"]) >= 1
        assert error.response.headers.get("x-should-retry") != "false"
        started = time.monotonic()
        patient = client.with_options(max_retries=3)
        answer = patient.completions.create(model=server.model, prompt="a", max_tokens=0, echo=True)
        assert answer.choices[0].text == "a"
        assert time.monotonic() - started < WAIT_MAX_S


def test_rate_headers_count_down(server: Server, limited_key: str) -> None:
    """Each answer tells the limit and what is left of it."""
    with openai.OpenAI(base_url=f"{server.base_url}/v1", api_key=limited_key) as client:
        left = []
        for _ in range(2):
            raw = client.completions.with_raw_response.create(
                model=server.model, prompt="a", max_tokens=0, echo=True
            )
            assert raw.headers["x-ratelimit-limit-requests"] == str(PER_MINUTE)
            left.append(int(raw.headers["x-ratelimit-remaining-requests"]))
    assert left[1] < left[0] < PER_MINUTE
