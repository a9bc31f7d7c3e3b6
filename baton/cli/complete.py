"""`baton complete "text"`: a completion in the terminal, as it comes."""

import http.client
import os
import sys
from collections.abc import Iterator
from typing import Annotated, TypeVar

import msgspec
import typer

from baton import config
from baton.cli.calling import TIMEOUT_S, answered, key_for
from baton.cli.main import CommandError
from baton.cli.output import print_json

Url = Annotated[str | None, typer.Option(help="Address before /v1; default: this machine's Baton.")]
Key = Annotated[
    str | None, typer.Option(help="Default: OPENAI_API_KEY, else what the first start left.")
]

Answer = TypeVar("Answer")


class Chunk(msgspec.Struct):
    """What is needed of a stream's chunk."""

    class Choice(msgspec.Struct):
        text: str
        finish_reason: str | None = None

    class Error(msgspec.Struct):
        message: str

    class Usage(msgspec.Struct):
        completion_tokens: int | None = None

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Error | None = None


class CutStream(CommandError):
    """A stream ended before its end."""


class NoCompletion(CommandError):
    """An answer is something else."""


class ModelList(msgspec.Struct):
    """What is needed of /v1/models."""

    class Model(msgspec.Struct):
        id: str

    data: list[Model]


def run(
    prompt: Annotated[str, typer.Argument(help="The text to complete; '-' reads standard input.")],
    model: Annotated[str | None, typer.Option(help="Default: the first that is served.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens at most.", min=0)] = 128,
    temperature: Annotated[float, typer.Option(min=0, max=2)] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same text.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text. Repeat.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Text after the hole to fill.")] = None,
    echo: Annotated[bool, typer.Option(help="Print the prompt first.")] = False,
    url: Url = None,
    key: Key = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer as JSON.")
    ] = False,
) -> None:
    """Stream a completion from a running Baton."""
    settings = config.load()
    base, key = url or settings.address, key_for(settings, key, os.environ)
    fields = {
        "model": model or first_model(base, key),
        "prompt": sys.stdin.read() if prompt == "-" else prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "stop": stop or None,
        "suffix": suffix,
        "echo": echo,
        "stream": not as_json,
    }
    try:
        body = msgspec.json.encode(fields)
    except UnicodeEncodeError:
        raise CommandError("a prompt, suffix, stop or model must be UTF-8 text") from None
    # The end that the server makes comes before, in words.
    patience_s = settings.request_timeout_s + TIMEOUT_S
    response = answered(base, "/v1/completions", key, body, patience_s)
    if as_json:
        return print_json(_read(base, response, object))
    print_stream(response)


def first_model(base: str, key: str | None) -> str:
    listed = _read(base, answered(base, "/v1/models", key), ModelList)
    if not listed.data:
        raise CommandError("no model is served: add an upstream, or set BATON_MODEL")
    return listed.data[0].id


def _read(base: str, response: http.client.HTTPResponse, kind: type[Answer]) -> Answer:
    """Its body; CommandError where another program answered."""
    try:
        return msgspec.json.decode(response.read(), type=kind)
    except msgspec.DecodeError:
        raise CommandError(f"what answers at {base} is no Baton: name another with --url") from None


def chunks(response: http.client.HTTPResponse) -> Iterator[Chunk]:
    """Each as it comes, up to the stream's end. CutStream where that does not come, also where the
    connection ends within a line."""
    for line in response:
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:"):
            continue
        if data == b"[DONE]":
            return
        if not line.endswith(b"\n"):
            break
        yield decoded(data)
    raise CutStream("the stream was cut: its end never came")


def decoded(data: bytes) -> Chunk:
    try:
        return msgspec.json.decode(data, type=Chunk)
    except msgspec.DecodeError as error:
        raise NoCompletion(f"the answer is no completion: {error}") from None


def print_stream(response: http.client.HTTPResponse) -> None:
    """Print each piece of text as it comes. CommandError when the stream ends before its end."""
    for chunk in chunks(response):
        if chunk.error is not None:
            raise CommandError(f"the stream failed: {chunk.error.message}")
        for choice in chunk.choices:
            sys.stdout.write(choice.text)
        sys.stdout.flush()
    sys.stdout.write("\n")
