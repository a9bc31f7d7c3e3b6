"""What an operator changes in the requests to one upstream: fields forced, given or withheld. Pure.

`force` sets a field of the upstream's body whatever was asked, `default` sets one that the request
left out (objects are merged field by field), `remove` takes one away. None of them may touch what
an answer is read, counted or charged by: such fields are RESERVED. `forbid` says that this server
lacks a field although its dialect has it: Baton then fills it in or refuses it, as for any dialect.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

Forbidden = Literal[
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "n",
    "presence_penalty",
    "prompt_arrays",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "token_prompts",
]
"""Fields of the contract; `prompt_arrays` and `token_prompts` are forms of `prompt`."""
Fields = dict[str, Any]

RESERVED = frozenset(
    {
        "best_of", "contents", "echo", "generationConfig", "input_prefix", "input_suffix",
        "logprobs", "max_completion_tokens", "max_tokens", "maxOutputTokens", "messages", "model",
        "n", "n_cmpl", "n_predict", "n_probs", "num_predict", "prompt", "raw", "response_fields",
        "return_token_ids", "shift", "stop", "stopSequences", "stop_sequences", "stream",
        "stream_options", "suffix", "system", "systemInstruction", "top_logprobs", "truncate",
    }
)  # fmt: skip
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
BYTES_MAX = 8 * 1024
DEPTH_MAX = 4


class Overrides(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As an operator gives them."""

    force: Fields = {}
    default: Fields = {}
    remove: tuple[str, ...] = ()
    forbid: tuple[Forbidden, ...] = ()


NONE = Overrides()


def check(overrides: Overrides) -> None:
    """ValueError says what cannot be overridden."""
    if len(msgspec.json.encode(overrides)) > BYTES_MAX:
        raise ValueError(f"overrides of more than {BYTES_MAX} bytes")
    for given in (overrides.force, overrides.default):
        for name in _names(given, 1):
            _check_name(name)
    for name in overrides.remove:
        _check_name(name)


def apply(overrides: Overrides, body: Fields) -> Fields:
    """The body with them. Defaults first: what is forced wins."""
    found = _merged(_merged(body, overrides.default, force=False), overrides.force, force=True)
    for name in overrides.remove:
        found.pop(name, None)
    return found


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"'{name[:64]}' is no name of a field")
    if name in RESERVED:
        raise ValueError(f"'{name}' cannot be overridden: answers are read by it")


def _merged(body: Fields, changes: Mapping[str, Any], *, force: bool) -> Fields:
    found = dict(body)
    for name, value in changes.items():
        present = found.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            found[name] = _merged(present, value, force=force)
        elif force or name not in found:
            found[name] = value
    return found


def _names(fields: Mapping[str, Any], depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:
        raise ValueError(f"overrides nested deeper than {DEPTH_MAX}")
    for name, value in fields.items():
        yield name
        if value is None:
            raise ValueError(f"'{name}' is null: name it in 'remove' instead")
        if isinstance(value, dict):
            yield from _names(value, depth + 1)
