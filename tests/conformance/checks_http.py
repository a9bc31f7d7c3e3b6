"""Checks of headers, errors and the routes beside completions."""

import re

from tests.conformance.cases import Exchange
from tests.conformance.expecting import expect, shown

ERROR_KEYS = {"message", "type", "param", "code"}


def ctype(seen: Exchange, start: str) -> None:
    expect(seen.answer.content_type.startswith(start), seen.answer.content_type)


def header(seen: Exchange, name: str) -> None:
    expect(seen.answer.headers.get(name), f"no {name}")


def header_num(seen: Exchange, name: str) -> None:
    value = seen.answer.headers.get(name, "")
    expect(re.fullmatch(r"\d+(\.\d+)?", value), f"{name} is {value!r}")


def header_has(seen: Exchange, name: str, part: str) -> None:
    expect(part in seen.answer.headers.get(name, ""), f"{name}={seen.answer.headers.get(name)}")


def header_eq(seen: Exchange, name: str, value: str) -> None:
    expect(seen.answer.headers.get(name) == value, f"{name}={seen.answer.headers.get(name)}")


def header_absent(seen: Exchange, name: str) -> None:
    expect(name not in seen.answer.headers, f"{name}={seen.answer.headers.get(name)}")


def header_lists(seen: Exchange, name: str, words: list[str]) -> None:
    """The header is a comma-separated list of exactly these words, in any order."""
    told = sorted(word.strip() for word in seen.answer.headers.get(name, "").split(",") if word)
    expect(told == sorted(words), f"{name}={seen.answer.headers.get(name)}")


def body_lacks(seen: Exchange, part: str) -> None:
    filled_in = part.replace("$KEY", seen.endpoint.key)
    expect(filled_in not in seen.answer.text, f"{part} is in the body")


def body_empty(seen: Exchange) -> None:
    expect(seen.answer.raw == b"", shown(seen.answer))


def body_has(seen: Exchange, part: str) -> None:
    expect(part in seen.answer.text, shown(seen.answer))


def error_keys(seen: Exchange) -> None:
    expect(set(seen.answer.error) >= ERROR_KEYS, shown(seen.answer))


def error_strict(seen: Exchange) -> None:
    """The four keys and no other; code is a string or null, as OpenAI's libraries expect."""
    error = seen.answer.error
    expect(set(error) == ERROR_KEYS, shown(seen.answer))
    expect(error["code"] is None or isinstance(error["code"], str), f"code {error['code']!r}")
    expect(error["param"] is None or isinstance(error["param"], str), f"param {error['param']!r}")
    expect(isinstance(error["type"], str) and error["type"], f"type {error['type']!r}")


def error_matches(seen: Exchange, pattern: str) -> None:
    """The error's message fits a regular expression."""
    message = seen.answer.error["message"]
    expect(re.search(pattern, message), f"{message!r} does not fit {pattern!r}")


def models_list(seen: Exchange) -> None:
    body = seen.answer.json
    named = any(model["id"] == seen.endpoint.model for model in body["data"])
    expect(body["object"] == "list" and named, shown(seen.answer))


def model_object(seen: Exchange) -> None:
    """One model in OpenAI's shape."""
    body = seen.answer.json
    expect(body.get("id") == seen.endpoint.model, shown(seen.answer))
    expect(body.get("object") == "model", shown(seen.answer))
    expect(type(body.get("created")) is int, shown(seen.answer))
    expect(isinstance(body.get("owned_by"), str), shown(seen.answer))


def tokens_list(seen: Exchange) -> None:
    tokens = seen.answer.json["tokens"]
    fits = isinstance(tokens, list) and tokens and all(type(token) is int for token in tokens)
    expect(fits, shown(seen.answer))


def tokenize_returns(seen: Exchange) -> None:
    """/detokenize gives back what /tokenize took, and the count is the list's length."""
    body = seen.answer.json
    expect(body.get("count") == len(body["tokens"]), shown(seen.answer))
    request = {"model": seen.endpoint.model, "tokens": body["tokens"]}
    back = seen.endpoint.post("/detokenize", request).json["prompt"]
    expect(back == seen.body["prompt"], f"{back!r}")


def prompt_str(seen: Exchange) -> None:
    expect(isinstance(seen.answer.json["prompt"], str), shown(seen.answer))


def eos_token(seen: Exchange) -> None:
    expect("eos_token" in seen.answer.json, shown(seen.answer))


def key_whole(seen: Exchange) -> None:
    """/v1/key tells what the key may do and never the key itself."""
    expect(isinstance(seen.answer.json, dict), shown(seen.answer))
    expect(seen.endpoint.key not in seen.answer.text, "the key is in the answer")
