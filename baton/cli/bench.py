"""`baton bench`: a bounded load on a running Baton, and what came of it.

The client is one process of Python: beyond some ten thousand answers or twenty thousand texts a
second it measures itself. `make bench` has one for those.
"""

import os
import sys
from typing import Annotated

import msgspec
import typer

from baton import config
from baton.cli.calling import TIMEOUT_S, key_for
from baton.cli.complete import Key, Url, first_model
from baton.cli.load import Asked, Load
from baton.cli.main import FAILED, INTERRUPTED, CommandError
from baton.cli.measured import Summary
from baton.cli.output import AsJson, print_fields, print_json, print_rows

REQUESTS_MAX = 100_000
REQUESTS_AT_ONCE_MAX = 1_000
TOKENS_PER_REQUEST_MAX = 100_000
PROMPT = "Once upon a time"


def run(
    model: Annotated[str | None, typer.Option(help="Default: the first that is served.")] = None,
    url: Url = None,
    key: Key = None,
    requests: Annotated[
        int, typer.Option(help="Requests in all, each charged to the key.", min=1, max=REQUESTS_MAX)
    ] = 100,
    concurrency: Annotated[
        int, typer.Option(help="Requests at once.", min=1, max=REQUESTS_AT_ONCE_MAX)
    ] = 8,
    max_tokens: Annotated[
        int, typer.Option(help="Tokens at most.", min=1, max=TOKENS_PER_REQUEST_MAX)
    ] = 32,
    prompt: Annotated[str, typer.Option(help="The same in all requests.")] = PROMPT,
    stream: Annotated[
        bool, typer.Option(help="Also measure when texts come; without, only whole answers.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Put a load on a running Baton and measure its answers."""
    settings = config.load()
    base, key = url or settings.address, key_for(settings, key, os.environ)
    model = model or first_model(base, key)
    fields = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "stream": stream}
    if stream:
        fields["stream_options"] = {"include_usage": True}
    try:
        body = msgspec.json.encode(fields)
    except UnicodeEncodeError:
        raise CommandError("a prompt or model must be UTF-8 text") from None
    # The end that the server makes comes before, in words.
    silence_s = settings.request_timeout_s + TIMEOUT_S
    load = Load(Asked(base, key, body, stream, silence_s), requests, concurrency)
    try:
        load.run()
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    found = load.summary()
    if as_json:
        print_json({"url": base, "model": model, **msgspec.structs.asdict(found)})
    else:
        print_summary(found)
    if code == INTERRUPTED:
        print(f"baton: interrupted, {found.requests} of {requests} requests", file=sys.stderr)
    if code or found.failed:
        raise typer.Exit(code or FAILED)


def print_summary(found: Summary) -> None:
    """For people: numbers, then times, then what failed."""
    tokens_per_s = found.completion_tokens_per_s
    fields = {
        "requests": found.requests,
        "failed": found.failed,
        "took": f"{found.seconds:g} s",
        "whole answers a second": f"{found.requests_per_s:,.2f}",
        "completion tokens a second": (None if tokens_per_s is None else f"{tokens_per_s:,.2f}"),
    }
    print_fields(fields, as_json=False)
    times = {
        "whole answer": found.latency_ms,
        "first text": found.first_text_ms,
        "between texts": found.between_texts_ms,
    }
    rows = [{"of": name, **msgspec.structs.asdict(each)} for name, each in times.items() if each]
    columns = {"of": "Milliseconds", "p50": "p50", "p90": "p90", "p99": "p99", "max": "max"}
    if rows:
        print_rows(rows, columns, as_json=False)
    if found.failures:
        failures = [msgspec.structs.asdict(each) for each in found.failures]
        headings = {"kind": "Failed", "requests": "Requests", "first": "The first said"}
        print_rows(failures, headings, as_json=False)
