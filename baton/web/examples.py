"""What a reader can copy: each operation called by curl, and completions by OpenAI's own
libraries.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from baton.web.operation import Access, AnyOperation

MODEL = "smollm2-135m-instruct"
BODIES: dict[str, dict[str, Any]] = {
    "createcompletion": {
        "model": MODEL,
        "prompt": "Once upon a time",
        "max_tokens": 64,
        "temperature": 0.7,
        "stream": True,
    },
    "createfim": {
        "model": MODEL,
        "prompt": "def fibonacci(n):\n    ",
        "suffix": "\n    return a",
        "max_tokens": 64,
    },
    "infill": {
        "input_prefix": "def fibonacci(n):\n",
        "prompt": "    ",
        "input_suffix": "\n    return a\n",
        "n_predict": 64,
    },
    "tokenize": {"model": MODEL, "prompt": "Once upon a time"},
    "detokenize": {"model": MODEL, "tokens": [1, 2, 3]},
    "admincreateorganisation": {
        "name": "Acme",
        "budgets": [{"amount": 50_000_000_000, "span": "month", "zone": "Asia/Shanghai"}],
    },
    "adminchangeorganisation": {"tokens_per_minute": 1_000_000},
    "admincreateteam": {"name": "Research", "parent": "organisation_01"},
    "adminchangeteam": {"requests_at_once": 32},
    "admincreateuser": {"name": "alice", "parent": "team_01"},
    "adminchangeuser": {"networks": ["10.0.0.0/8"]},
    "adminrotatekey": {"overlap_s": 3600},
    "admincreatekey": {"name": "alice", "requests_per_minute": 600, "budget_nano": 5_000_000_000},
    "adminimportkey": {"name": "bob", "value": "sk-0123456789abcdefghij"},
    "adminchangekey": {"requests_per_minute": 1200},
    "admincreateupstream": {
        "name": "gpu-1",
        "url": "http://127.0.0.1:8000/v1",
        "dialect": "openai",
        "models": {"public-name": "its-own-name"},
    },
    "adminchangeupstream": {"weight": 50},
    "admincheckupstream": {},
    "adminsetprice": {"model": MODEL, "input_pico": 150_000, "output_pico": 600_000},
}
"""A body that works, by operation id. The model's name is replaced by one that is served."""
PYTHON = """\
from openai import OpenAI

client = OpenAI(base_url={base}, api_key="sk-…")
stream = client.completions.create(
    model={model},
    prompt="Once upon a time",
    max_tokens=64,
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].text, end="", flush=True)
"""
NODE = """\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {base}, apiKey: "sk-…" }});
const stream = await client.completions.create({{
  model: {model},
  prompt: "Once upon a time",
  max_tokens: 64,
  stream: true,
}});
for await (const chunk of stream) process.stdout.write(chunk.choices[0].text);
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A text to copy. `name` is shown above it."""

    name: str
    code: str


def body_of(one: AnyOperation, model: str) -> dict[str, Any] | None:
    """A body that works for this operation; None where it takes none."""
    body = BODIES.get(one.id) if one.has_body else None
    if body is None:
        return None
    return {**body, "model": model} if body.get("model") == MODEL else body


def curl(one: AnyOperation, address: str, model: str) -> str:
    """One command, safe to paste: everything that is not plain is quoted."""
    words = ["curl"]
    body = body_of(one, model)
    if body is not None and body.get("stream"):
        words.append("-N")
    if one.method != ("GET" if body is None else "POST"):
        words += ["-X", one.method]
    lines = [" ".join([*words, shlex.quote(address + one.public_path)])]
    if one.access is not Access.OPEN:
        lines.append('-H "Authorization: Bearer $BATON_KEY"')
    if body is not None:
        lines += [
            '-H "Content-Type: application/json"',
            f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        ]
    return " \\\n  ".join(lines)


def examples(one: AnyOperation, address: str, model: str) -> list[Example]:
    """curl for all; the official libraries for completions."""
    found = [Example("curl", curl(one, address, model))]
    if one.id == "createcompletion":
        words = {"base": json.dumps(f"{address}/v1"), "model": json.dumps(model)}
        found.append(Example("Python", PYTHON.format(**words)))
        found.append(Example("Node.js", NODE.format(**words)))
    return found
