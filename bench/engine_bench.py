"""Tokens per second of the embedded engine, through the relay, beside xllamacpp's own server.

Both serve one GGUF with the same number of threads, as processes of their own over HTTP, and take
turns. Every stream has a prompt of its own of 184 tokens and generates 96 (the tokens that would
end it are biased away); each server samples as it does by default at temperature 0.8. The rate
counts from the first request sent to the last answer, prompts included. Beside it stands what a
generated token costs in processor time of the server's whole process tree (for Baton the relay
too): that says more where the machine is not quiet.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from baton import config
from baton.engine import models
from bench import engine_promises, machine
from bench.processes import cpu_s, running, spread
from tests import running as servers
from tests.asking import Endpoint

PROMPT_TOKENS, NEW_TOKENS, TEMPERATURE = 184, 96, 0.8
LEVELS = (1, 8, 16, 32)
SEQUENCES, CONTEXT_TOKENS = 32, 512
ENDING_TOKENS = {"0": -100, "2": -100}
"""What would end generation in the default model."""
READ_TIMEOUT_S = 300.0
WORDS = [
    "river", "stone", "light", "garden", "window", "bread", "market", "winter", "letter", "music",
    "planet", "engine", "silver", "cloud", "forest", "ladder", "bridge", "candle", "ocean",
    "pepper", "thunder", "velvet", "mirror", "harbor", "meadow", "copper", "marble", "saddle",
    "turnip", "wagon", "yellow", "zebra", "the", "of", "and", "to", "in", "is", "that", "for",
    "with", "on", "as", "by", "at", "from",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Target:
    """A server of completions: its port, key and model name, and its processes' session."""

    name: str
    port: int
    key: str
    model: str
    session: int


@dataclasses.dataclass(frozen=True)
class StreamTimes:
    """One stream: when its first text came, when it ended, and what it generated."""

    first_s: float
    end_s: float
    tokens: int


def run(rounds: int, threads: int, levels: tuple[int, ...] = LEVELS) -> dict[str, Any]:
    """All rounds: facts, every single run, and the summary with ratios within each round."""
    facts = machine.facts() | {"threads": threads, "model": _model_path().name}
    runs: list[dict[str, Any]] = []
    with _baton(threads) as (target, endpoint), _llama_server(threads) as other:
        for number in range(rounds):
            for level in levels:
                prompts = _prompts(endpoint, number * 1000 + level, level)
                order = [target, other] if number % 2 == 0 else [other, target]
                for one in order:
                    runs.append({"round": number, **_measure(one, prompts)})
                    print(json.dumps({k: v for k, v in runs[-1].items() if k != "streams"}))
    return {"machine": facts, "runs": runs, "summary": summary(runs)}


def promises(rounds: int, threads: int) -> dict[str, Any]:
    """What the engine is compared with itself in, on a server of its own."""
    sizes = engine_promises.SEQUENCES, engine_promises.CONTEXT_TOKENS
    with _baton(threads, *sizes) as (_, endpoint):
        return engine_promises.run(endpoint, rounds)


def _model_path() -> pathlib.Path:
    found = models.resolve(config.load(), lambda name, done, total: None)
    assert found is not None
    return found.path


@contextlib.contextmanager
def _baton(
    threads: int, sequences: int = SEQUENCES, context_tokens: int = CONTEXT_TOKENS
) -> Iterator[tuple[Target, Endpoint]]:
    settings = {
        "BATON_ENGINE_THREADS": str(threads),
        "BATON_ENGINE_SEQUENCES": str(sequences),
        "BATON_ENGINE_CONTEXT_TOKENS": str(context_tokens),
    }
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        servers.serving(pathlib.Path(folder) / "home", settings) as server,
    ):
        port = int(server.base_url.rsplit(":", 1)[1])
        target = Target("baton", port, server.key, server.model, server.process.pid)
        yield target, server.endpoint


@contextlib.contextmanager
def _llama_server(threads: int) -> Iterator[Target]:
    words = [str(word) for word in (_model_path(), threads, SEQUENCES, CONTEXT_TOKENS)]
    with running([sys.executable, "-m", "bench.llama_server", *words]) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        port = int(address.rsplit(":", 1)[1])
        yield Target("xllamacpp server", port, "sk-none", "any", process.pid)


def _prompts(endpoint: Endpoint, seed: int, count: int) -> list[list[int]]:
    """Prompts of exactly 184 tokens, each unlike all others from its first words on."""
    found = []
    for place in range(count):
        words = random.Random(seed * 1000 + place).choices(WORDS, k=PROMPT_TOKENS)
        body = {"model": endpoint.model, "prompt": " ".join(words)}
        found.append(endpoint.post("/tokenize", body).json["tokens"][:PROMPT_TOKENS])
    assert all(len(prompt) == PROMPT_TOKENS for prompt in found)
    return found


def _measure(target: Target, prompts: list[list[int]]) -> dict[str, Any]:
    busy_before, spent_before = machine.busy_s(), cpu_s(target.session)
    started = time.perf_counter()
    streams = asyncio.run(_all_streams(target, prompts, started))
    wall_s = max(stream.end_s for stream in streams)
    tokens = sum(stream.tokens for stream in streams)
    return {
        "server": target.name,
        "level": len(prompts),
        "tokens": tokens,
        "tokens_per_second": round(tokens / wall_s, 2),
        "first_p50_s": round(statistics.median(stream.first_s for stream in streams), 4),
        "cpu_ms_per_token": round((cpu_s(target.session) - spent_before) / tokens * 1e3, 3),
        "machine_cores": round((machine.busy_s() - busy_before) / wall_s, 2),
        "streams": [dataclasses.asdict(stream) for stream in streams],
    }


async def _all_streams(
    target: Target, prompts: list[list[int]], started: float
) -> list[StreamTimes]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_stream(target, prompt, started)) for prompt in prompts]
    return [task.result() for task in tasks]


async def _stream(target: Target, prompt: list[int], started: float) -> StreamTimes:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(_request(target, prompt))
    first_s, tokens = 0.0, 0
    async with asyncio.timeout(READ_TIMEOUT_S):
        while (line := await reader.readline()) and line != b"data: [DONE]\n":
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line[6:])
            if not first_s and event["choices"] and event["choices"][0]["text"]:
                first_s = time.perf_counter() - started
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    writer.close()
    if tokens != NEW_TOKENS:
        raise RuntimeError(f"{target.name}: a stream of {tokens} tokens, not {NEW_TOKENS}")
    return StreamTimes(first_s, time.perf_counter() - started, tokens)


def _request(target: Target, prompt: list[int]) -> bytes:
    body = json.dumps(
        {
            "model": target.model,
            "prompt": prompt,
            "max_tokens": NEW_TOKENS,
            "temperature": TEMPERATURE,
            "logit_bias": ENDING_TOKENS,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"Authorization: Bearer {target.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """For each level both servers' medians, and Baton's ratios within each round."""
    found: dict[str, Any] = {}
    for level in sorted({run["level"] for run in runs}):
        of_level = [run for run in runs if run["level"] == level]
        found[str(level)] = {
            name: {
                key: statistics.median(run[key] for run in of_level if run["server"] == name)
                for key in ("tokens_per_second", "first_p50_s", "cpu_ms_per_token")
            }
            for name in dict.fromkeys(run["server"] for run in of_level)
        }
        found[str(level)]["ratio"] = _ratio(of_level, "tokens_per_second")
        found[str(level)]["first_ratio"] = _ratio(of_level, "first_p50_s")
        found[str(level)]["cpu_ratio"] = _ratio(of_level, "cpu_ms_per_token")
    return found


def _ratio(runs: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Baton's figure in the peer's, within each round."""
    figures = {(run["round"], run["server"]): run[key] for run in runs}
    rounds = sorted({number for number, _ in figures})
    ratios = [figures[number, "baton"] / figures[number, "xllamacpp server"] for number in rounds]
    return spread(ratios)
