"""What server is behind a URL: a few harmless GETs, and what their answers say. Pure.

`QUESTIONS` are asked in order, bounded in time and bytes by the asker (`upstreams/checking.py`).
`recognise` weighs the answers and says which dialect it found and why. A server that says nothing
that is known speaks OpenAI's completions as far as anybody can tell, and is told as a guess.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

BODY_BYTES_MAX = 256 * 1024
WHY_CHARS_MAX = 120


QUESTIONS = ("/healthz", "/api/version", "/props", "/version", "/get_server_info", "/v1/models")
"""Paths below the root, each known to one server or several. None computes or changes anything."""


class Told(msgspec.Struct, frozen=True):
    """One answer; `status` 0 where there was none. Header names are lower-case."""

    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Finding(msgspec.Struct, frozen=True):
    """The dialect, why, and the models that the server offered."""

    dialect: str
    why: str
    certain: bool = True
    models: tuple[str, ...] = ()


HOSTS = (
    (re.compile(r"(^|\.)openai\.azure\.com$"), "azure"),
    (re.compile(r"(^|\.)api\.openai\.com$"), "openai"),
    (re.compile(r"(^|\.)deepseek\.com$"), "deepseek"),
    (re.compile(r"(^|\.)mistral\.ai$"), "mistral"),
    (re.compile(r"(^|\.)together\.(xyz|ai)$"), "together"),
    (re.compile(r"(^|\.)fireworks\.ai$"), "fireworks"),
    (re.compile(r"(^|\.)anthropic\.com$"), "anthropic"),
    (re.compile(r"^generativelanguage\.googleapis\.com$"), "gemini"),
)
"""Vendors are known by their names, and are asked nothing."""

OWNERS = {"llamacpp": "llama-server", "vllm": "vllm", "sglang": "sglang", "baton": "baton"}
"""`owned_by` of the models that a server lists, where it gives its own name."""


def vendor(host: str) -> Finding | None:
    """The dialect of a vendor's own address."""
    for pattern, dialect in HOSTS:
        if pattern.search(host):
            return Finding(dialect, f"{host} is the vendor's own address")
    return None


def recognise(answers: Mapping[str, Told]) -> Finding:
    """From the answers by path; what is not there was not answered."""
    models, owners = _models(answers.get("/v1/models", Told()))
    for dialect, why in _signs(answers, owners):
        return Finding(dialect, why[:WHY_CHARS_MAX], True, models)
    if models:
        return Finding("openai", "it lists models as OpenAI does", False, models)
    heard = [told.status for told in answers.values() if told.status]
    why = f"it answered {sorted(set(heard))}" if heard else "it did not answer"
    return Finding("openai", f"{why} and said nothing of itself", False)


def _signs(answers: Mapping[str, Told], owners: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Every sign that was found, the surest first."""
    found: list[tuple[str, str]] = []
    ollama = _object(answers.get("/api/version", Told()))
    if isinstance(ollama.get("version"), str):
        found.append(("ollama", f"/api/version tells version {_shown(ollama['version'])}"))
    props = _object(answers.get("/props", Told()))
    if "default_generation_settings" in props:
        found.append(("llama-server", "/props has llama.cpp's default_generation_settings"))
    for owner in owners:
        if owner in OWNERS:
            found.append((OWNERS[owner], f"its models are owned by '{owner}'"))
    for path, told in answers.items():
        server = told.headers.get("server", "")
        if server.startswith("llama.cpp"):
            found.append(("llama-server", f"{path} was answered by server 'llama.cpp'"))
        if any(name.startswith("x-baton-") for name in told.headers):
            found.append(("baton", f"{path} was answered with x-baton- headers"))
    sglang = _object(answers.get("/get_server_info", Told()))
    if "disable_radix_cache" in sglang or "tp_size" in sglang:
        found.append(("sglang", "/get_server_info has SGLang's settings"))
    version = _object(answers.get("/version", Told()))
    if isinstance(version.get("version"), str) and version.keys() == {"version"}:
        found.append(("vllm", f"/version tells version {_shown(version['version'])}"))
    return found


def _models(told: Told) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and owners of the models in OpenAI's list; bounded, since they are shown."""
    listed = _object(told).get("data")
    if not isinstance(listed, list):
        return (), ()
    entries = [entry for entry in listed[:1000] if isinstance(entry, dict)]
    names = [_shown(entry["id"]) for entry in entries if isinstance(entry.get("id"), str)]
    owners = [str(entry["owned_by"]) for entry in entries if "owned_by" in entry]
    return tuple(names), tuple(dict.fromkeys(owners))


def _object(told: Told) -> dict[str, Any]:
    """The JSON object of a good answer; an empty one otherwise."""
    if told.status != 200:
        return {}
    try:
        found = msgspec.json.decode(told.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _shown(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:WHY_CHARS_MAX]
