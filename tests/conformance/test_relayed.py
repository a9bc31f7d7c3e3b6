"""The conformance cases through Baton to real servers: llama.cpp's own, and another Baton.

Each case passes, or is refused with the documented 400 (`unsupported_parameter`, about a field of
the request); what else differs is listed here with its reason. Nothing is silently wrong.
"""

import contextlib
import dataclasses
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.asking import Endpoint
from tests.conformance.cases import CAPABILITIES, FILES, Case, load, send
from tests.conformance.checks import registry
from tests.conformance.runner import run_case
from tests.fakes import tiny_gguf
from tests.running import Server, serving

MODEL = "relayed"
KNOWN = registry()
PUBLISHED, OWN = (load(path) for path in FILES)
SLOTS, CONTEXT_TOKENS, THREADS = 2, 512, 1

LLAMA_SERVER = {
    "range-15": "asks /tokenize for an id, which is refused: Baton has no vocabulary of it",
    "own-range-37": "asks /tokenize for an id, which is refused: Baton has no vocabulary of it",
    "own-prompt-01": "asks /tokenize for ids, which is refused: Baton has no vocabulary of it",
    "own-range-26": "a bias on an id that is none is without effect there",
    "own-shape-07": "only the embedded engine has a fingerprint that Baton vouches for",
    "max_tokens-07": "the server ends where its context does, with finish_reason length",
    "own-max_tokens-05": "the server ends where its context does, with finish_reason length",
    "own-max_tokens-06": "the server ends where its context does, with finish_reason length",
    "own-max_tokens-09": "the server ends where its context does, with finish_reason length",
}
TINY = {**LLAMA_SERVER, "stream-15": "the tiny model says bytes that are no characters"}
BATON = {
    "own-suffix-02": "what the other Baton fills in is told to this one, not to the caller",
    "own-shape-07": "a fingerprint that another Baton vouches for is not passed on",
    "range-15": "asks /tokenize for an id, which is refused: Baton has no vocabulary of it",
    "own-range-37": "asks /tokenize for an id, which is refused: Baton has no vocabulary of it",
    "own-prompt-01": "asks /tokenize for ids, which is refused: Baton has no vocabulary of it",
}


@contextlib.contextmanager
def llama_server(model: pathlib.Path) -> Iterator[str]:
    """llama.cpp's server in a process of its own; its address."""
    words = (str(model), str(THREADS), str(SLOTS), str(CONTEXT_TOKENS))
    command = [sys.executable, "-m", "bench.llama_server", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def relaying_to(home: pathlib.Path, *words: str) -> Iterator[Endpoint]:
    """A Baton without a model of its own in front of an upstream."""
    with serving(home, {"BATON_MODEL": "none"}) as front:
        front.cli("upstream", "add", "real", *words)
        front.wait_for("/readyz")
        endpoint = dataclasses.replace(front.endpoint, model=MODEL)
        while endpoint.get(f"/v1/models/{MODEL}").status == 404:
            pass  # a change is in force within a second
        yield endpoint


@pytest.fixture(scope="module")
def to_llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """In front of llama.cpp's server with a tiny model, which says anything."""
    home = tmp_path_factory.mktemp("relayed")
    with llama_server(tiny_gguf.write(home / "tiny.gguf", context=CONTEXT_TOKENS)) as url:
        words = ("--url", url, "--dialect", "llama-server", "--model", f"{MODEL}=tiny")
        with relaying_to(home / "home", *words) as endpoint:
            yield endpoint


@pytest.fixture(scope="module")
def to_llama_server_proper(
    default_model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """In front of llama.cpp's server with the default model."""
    with llama_server(default_model) as url:
        words = ("--url", url, "--dialect", "llama-server", "--model", f"{MODEL}=default")
        with relaying_to(tmp_path_factory.mktemp("relayed") / "home", *words) as endpoint:
            yield endpoint


@pytest.fixture(scope="module")
def to_baton(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """In front of another Baton with the default model."""
    place = ("--url", server.base_url, "--dialect", "baton", "--key", server.key)
    with relaying_to(
        tmp_path_factory.mktemp("relayed") / "home", *place, "--model", f"{MODEL}={server.model}"
    ) as endpoint:
        yield endpoint


def judge(case: Case, endpoint: Endpoint, differences: dict[str, str]) -> None:
    """Fails unless the case passes, is refused as documented, or its difference is known."""
    result = run_case(case, endpoint, CAPABILITIES, KNOWN)
    if result.outcome == "pass" or case.id in differences:
        return
    answer = send(case.request, endpoint, {})
    assert answer.status == 400, str(result)
    assert answer.error["code"] == "unsupported_parameter", str(result)
    assert answer.error["param"] in {*(case.request.body or {}), "model"}, str(result)


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case.id)
def test_published_on_llama_server(to_llama_server: Endpoint, case: Case) -> None:
    """Every published case on the real llama.cpp server."""
    judge(case, to_llama_server, TINY)


@pytest.mark.soak
@pytest.mark.parametrize("case", [*PUBLISHED, *OWN], ids=lambda case: case.id)
def test_all_on_llama_server(to_llama_server_proper: Endpoint, case: Case) -> None:
    """Every case on the real llama.cpp server with a model that says something."""
    judge(case, to_llama_server_proper, LLAMA_SERVER)


@pytest.mark.soak
@pytest.mark.parametrize("case", [*PUBLISHED, *OWN], ids=lambda case: case.id)
def test_all_on_another_baton(to_baton: Endpoint, case: Case) -> None:
    """Every case through two Batons."""
    judge(case, to_baton, BATON)
