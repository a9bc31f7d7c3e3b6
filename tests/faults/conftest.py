"""What can be lost: an embedded model, a priced upstream, a key with a budget."""

import contextlib
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.faults.accounting import Price
from tests.running import DEFAULT_MODEL, POLL_S, START_TIMEOUT_S, Server

FAKE_MODEL = "fake-model"
PRICE = Price(input_pico=37_500, output_pico=150_500)
"""0.0375 and 0.1505 USD per million tokens: charges end in half a nano-USD."""
BUDGET_USD = "1000"


@pytest.fixture(scope="session")
def fake_url() -> Iterator[str]:
    """The address of an upstream in a process of its own."""
    with fake_upstream() as url:
        yield url


@contextlib.contextmanager
def fake_upstream() -> Iterator[str]:
    words = [sys.executable, "-m", "tests.fakes.fake_completions", "--dialect", "vllm"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as told:
        try:
            yield told.readline().strip()
        finally:
            process.kill()
            process.wait()


def add_upstream(server: Server, url: str, name: str = "fake") -> None:
    server.cli(
        "upstream", "add", name, "--url", f"{url}/v1", "--dialect", "vllm",
        "--model", f"{FAKE_MODEL}=theirs",
    )  # fmt: skip


def until_known(server: Server, model: str) -> None:
    """Return once the worker knows the model: it learns of an upstream within a second, which may
    be later than the command that added it ends. The list is asked for: a refusal would be one of
    those that the log of refused requests sums up."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while model not in {each["id"] for each in server.endpoint.get("/v1/models").json["data"]}:
        assert time.monotonic() < deadline, server.printed()
        time.sleep(POLL_S)


def set_prices(server: Server) -> None:
    """The same price for both models. Before any upstream: workers learn of changes in their order,
    so whoever is answered by one pays."""
    for model in (FAKE_MODEL, DEFAULT_MODEL):
        server.cli("price", "set", model, "--input", "0.0375", "--output", "0.1505")


def budget_key(server: Server) -> str:
    """A key whose spend is counted against a budget."""
    made = server.cli("key", "create", "spender", "--budget", BUDGET_USD, "--json")
    return str(json.loads(made)["value"])


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "home"
