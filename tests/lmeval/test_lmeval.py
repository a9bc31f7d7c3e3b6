"""lm-evaluation-harness against a real server: every number equals one computed from the logits.

The harness runs offline in an environment of its own, with the server's tokenizer, once with one
request at a time and once with four (its asynchronous path).
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lmeval.direct import Direct, Score, direct
from tests.running import Server
from tests.toolboxes import toolbox

HERE = pathlib.Path(__file__).parent
LOCK = HERE.parent.parent / "requirements" / "lmeval.lock"
INSTALL_TIMEOUT_S, RUN_TIMEOUT_S = 900, 300
CONCURRENCIES = ("1", "4")
NEAR_PER_TOKEN = 1e-4
STOPS, NEW_TOKENS = ["\n", "zq"], 24
"""As baton_gen.yaml has them."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

Samples = dict[str, list[dict[str, Any]]]


def install(folder: pathlib.Path) -> None:
    """An environment with exactly what requirements/lmeval.lock names (about 600 MB)."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--requirement"]
    subprocess.run([*pip, *options, LOCK], check=True, timeout=INSTALL_TIMEOUT_S)


@pytest.fixture(scope="module")
def evaluated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Samples]:
    """What the harness found, by concurrency and task."""
    python = toolbox("lm-eval", LOCK, install) / "bin" / "python"
    home = tmp_path_factory.mktemp("harness")
    words = [python, HERE / "evaluate.py", server.base_url, server.model]
    done = subprocess.run(
        [*map(str, words), *CONCURRENCIES],
        cwd=HERE / "tasks",
        env={
            **os.environ,
            **ENVIRONMENT,
            "HF_HOME": str(home),
            "OPENAI_API_KEY": server.key,
        },
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def reference(default_model: pathlib.Path) -> Iterator[Direct]:
    with direct(default_model) as opened:
        yield opened


def _near(told: float, want: Score) -> bool:
    return abs(told - want.total) <= NEAR_PER_TOKEN * want.tokens


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
def test_loglikelihood(evaluated: dict[str, Samples], reference: Direct, concurrency: str) -> None:
    """The score of each choice, and whether greedy would say it."""
    compared = 0
    for sample in evaluated[concurrency]["baton_mc"]:
        question, choices = sample["doc"]["q"], sample["doc"]["choices"]
        for choice, answer in zip(choices, sample["answers"], strict=True):
            whole = reference.tokenize(question + choice)
            length = len(reference.tokenize(question))
            want = reference.score(whole[:length], whole[length:])
            told, greedy = answer[0]
            assert _near(told, want), f"{question}{choice}: {told}, computed {want}"
            assert greedy == want.greedy, f"{question}{choice}: greedy {greedy}, computed {want}"
            compared += 1
    assert compared == 12


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
def test_rolling_loglikelihood(
    evaluated: dict[str, Samples], reference: Direct, concurrency: str
) -> None:
    """The score of whole texts."""
    samples = evaluated[concurrency]["baton_roll"]
    for sample in samples:
        text = sample["doc"]["text"]
        want = reference.score(reference.prefix, reference.tokenize(text))
        told = sample["answers"][0][0]
        assert _near(told, want), f"{text}: {told}, computed {want}"
    assert len(samples) == 2


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
def test_generation(evaluated: dict[str, Samples], reference: Direct, concurrency: str) -> None:
    """Greedy text until a stop string."""
    samples = evaluated[concurrency]["baton_gen"]
    for sample in samples:
        want = reference.generate(sample["doc"]["q"], STOPS, NEW_TOKENS)
        assert sample["answers"][0][0] == want
    assert len(samples) == 3
