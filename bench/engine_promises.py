"""What the embedded engine promises of itself, as ratios within one run, asked through the relay.

Each part times what is promised and what it is compared with on the same server, one after the
other, and keeps every time. The bounds stand beside the figures; nothing fails here, for a busy
machine would.

- cached: a prompt asked again, against the first time (time to its one token).
- choices: eight choices of a new prompt, against one (one token each).
- scored: 64 short prompts with echo and logprobs in one request, against one request each.
- stall: four streams, while a prompt of 2,000 tokens is computed: the 99th percentile of their
  gaps, against the prefill budget plus their median gap before. At its end they are some hundreds
  of tokens longer, and their steps with them: the raw times have the median gap after it, too.
- speculation: a stream that says its prompt's list again, tokens a second (of what comes after the
  first), against the same one as a deterministic call, which has no drafts.
- busy: a stream's tokens, while one process beside it does nothing but run, against an idle
  machine's (with the threads that the bench was started with).
"""

import concurrent.futures
import dataclasses
import http.client
import itertools
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.processes import running, spread
from tests.asking import Endpoint

SEQUENCES, CONTEXT_TOKENS = 16, 2304
PROMPT_TOKENS, LONG_PROMPT_TOKENS, SHORT_TOKENS = 400, 2000, 8
CHOICES, SHORT_PROMPTS, STREAMS = 8, 64, 4
CALM_TOKENS = 24
"""Of each stream, before the long prompt comes, and again after it."""
TIMEOUT_S = 300.0
STREAM_TOKENS = 64
CITIES = (
    "Lisbon", "Porto", "Madrid", "Seville", "Valencia", "Toulouse", "Marseille", "Lyon", "Geneva",
    "Zurich", "Munich", "Vienna", "Prague", "Warsaw", "Vilnius", "Riga",
)  # fmt: skip
LIST_ITEMS = 18
NEIGHBOUR = "while True: pass"
BUDGET_S = 0.1
"""The setting `engine_prefill_budget_ms`, as it comes."""
IDS = range(1000, 40_000)
BIAS = {"0": -100, "2": -100}
Part = Callable[[Endpoint, random.Random], dict[str, Any]]


def run(endpoint: Endpoint, rounds: int) -> dict[str, dict[str, Any]]:
    """Every part's bound, its ratio over the rounds, and the raw times."""
    found: dict[str, dict[str, Any]] = {}
    endpoint = dataclasses.replace(endpoint, timeout_s=TIMEOUT_S)
    for name, (part, what, bound) in PARTS.items():
        runs = [part(endpoint, random.Random(f"{name} {number}")) for number in range(rounds)]
        ratios = spread([run["ratio"] for run in runs])
        found[name] = {"what": what, "bound": bound, **ratios, "runs": runs}
        print(json.dumps({"part": name, **ratios}), flush=True)
    return found


def _prompt(chance: random.Random, tokens: int) -> list[int]:
    return chance.choices(IDS, k=tokens)


def _seconds(endpoint: Endpoint, **fields: object) -> float:
    """How long a whole answer takes."""
    began = time.perf_counter()
    answer = endpoint.complete(**fields)
    took = time.perf_counter() - began
    if answer.status != 200:
        raise RuntimeError(answer.text)
    return took


def cached(endpoint: Endpoint, chance: random.Random) -> dict[str, Any]:
    prompt = _prompt(chance, PROMPT_TOKENS)
    cold, warm = (_seconds(endpoint, prompt=prompt, max_tokens=1) for _ in range(2))
    return {"ratio": warm / cold, "cold_s": cold, "warm_s": warm}


def choices(endpoint: Endpoint, chance: random.Random) -> dict[str, Any]:
    one, many = (
        _seconds(endpoint, prompt=_prompt(chance, PROMPT_TOKENS), max_tokens=1, n=n)
        for n in (1, CHOICES)
    )
    return {"ratio": many / one, "one_s": one, "many_s": many}


def scored(endpoint: Endpoint, chance: random.Random) -> dict[str, Any]:
    prompts = [_prompt(chance, SHORT_TOKENS) for _ in range(SHORT_PROMPTS)]
    wanted = {"max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
    apart = sum(_seconds(endpoint, prompt=prompt, **wanted) for prompt in prompts)
    together = _seconds(endpoint, prompt=prompts, **wanted)
    return {"ratio": apart / together, "apart_s": apart, "together_s": together}


def stall(endpoint: Endpoint, chance: random.Random) -> dict[str, Any]:
    calm, over = threading.Barrier(STREAMS + 1), threading.Event()
    with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
        streams = [
            pool.submit(_arrivals, endpoint, _prompt(chance, SHORT_TOKENS), calm, over)
            for _ in range(STREAMS)
        ]
        calm.wait(TIMEOUT_S)
        began = time.perf_counter()
        try:
            took = _seconds(endpoint, prompt=_prompt(chance, LONG_PROMPT_TOKENS), max_tokens=1)
        finally:
            over.set()
        times = [stream.result() for stream in streams]
    gaps = [pair for some in times for pair in itertools.pairwise(some)]
    before = statistics.median(b - a for a, b in gaps if b < began)
    after = statistics.median(b - a for a, b in gaps if a > began + took)
    during = sorted(b - a for a, b in gaps if began < b < began + took)
    p99 = during[int(len(during) * 0.99)]
    return {
        "ratio": p99 / (BUDGET_S + before),
        "step_s": before,
        "step_after_s": after,
        "p99_s": p99,
        "prefill_s": took,
        "gaps_s": during,
    }


def _arrivals(
    endpoint: Endpoint, prompt: list[int], calm: threading.Barrier, over: threading.Event
) -> list[float]:
    """When each event of a stream came, until a while after `over`; at `calm` it has run for a
    while."""
    body = {"model": endpoint.model, "prompt": prompt, "max_tokens": 2000, "stream": True}
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=TIMEOUT_S)
    fields = {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"}
    text = json.dumps({**body, "logit_bias": BIAS})
    connection.request("POST", "/v1/completions", text.encode(), fields)
    response, found, left = connection.getresponse(), list[float](), CALM_TOKENS
    while left and (line := response.readline()):
        if line.startswith(b"data: "):
            found.append(time.perf_counter())
            left -= over.is_set()
            if len(found) == CALM_TOKENS:
                calm.wait(TIMEOUT_S)
    connection.close()
    return found


def busy(endpoint: Endpoint, chance: random.Random) -> dict[str, Any]:
    stream = {"max_tokens": STREAM_TOKENS, "logit_bias": BIAS, "temperature": 0}
    idle = _seconds(endpoint, prompt=_prompt(chance, SHORT_TOKENS), **stream)
    with running([sys.executable, "-c", NEIGHBOUR]):
        beside = _seconds(endpoint, prompt=_prompt(chance, SHORT_TOKENS), **stream)
    return {"ratio": idle / beside, "idle_s": idle, "beside_s": beside}


def speculation(endpoint: Endpoint, chance: random.Random) -> dict[str, Any]:
    items = "".join(f"{at}. {chance.choice(CITIES)}\n" for at in range(1, LIST_ITEMS + 1))
    first = items[: items.index("4. ")]
    prompt = f"Cities:\n{items}\nThe same list again:\n{first}"
    body = {"prompt": prompt, "temperature": 0, "logit_bias": BIAS, "model": endpoint.model}

    def took(tokens: int, alone: str) -> float:
        began, sent = time.perf_counter(), {**body, "max_tokens": tokens}
        answer = endpoint.post("/v1/completions", sent, x_baton_deterministic=alone)
        assert answer.status == 200, answer.text
        return time.perf_counter() - began

    took(1, "false")
    with_s, without_s = (took(STREAM_TOKENS, alone) - took(1, alone) for alone in ("false", "true"))
    return {"ratio": without_s / with_s, "with_s": with_s, "without_s": without_s}


PARTS: dict[str, tuple[Part, str, str]] = {
    "cached": (cached, "a prompt of 400 tokens again ÷ the first time", "≤ 0.05"),
    "choices": (choices, "8 choices of one prompt ÷ 1, to the first token", "≤ 1.25"),
    "scored": (scored, "64 scored prompts one by one ÷ in one request", "≥ 2"),
    "stall": (stall, "p99 gap beside a 2,000-token prompt ÷ (100 ms + a step)", "≤ 1"),
    "speculation": (speculation, "tokens/s of a list said again, with drafts ÷ without", "≥ 1.5"),
    "busy": (busy, "tokens/s with a busy process beside ÷ without", "≥ 0.5"),
}
