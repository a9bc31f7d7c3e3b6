"""What is wrong with a setting: a value of another kind, or one that nobody can mean. Pure.

A sentence about it begins with the setting's name, which the caller knows, and goes on with what is
said here: `is '30s', not a number of seconds above 0, at most 86400`.
"""

import difflib
import importlib
import ipaddress
import re
import typing
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

import msgspec

SECRET = ("_key", "_secret", "_url")
"""Ends of the names of settings that may hold a secret: what they hold is never said."""
MODEL_NAMES = ("hf:", "package:")
"""Beginnings of what names a model that is fetched (model_names.py)."""
UNITS = {"_s": " of seconds", "_ms": " of milliseconds"}
PORT_MAX = 65_535
ADDRESS = re.compile(
    r"https?://([^\s/?#@]+@)?([^\s/?#@:\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[^\s?#]*)?",
    re.IGNORECASE,
)
PLACE = re.compile(r"([^\s/?#@:\[\]]+|\[[0-9a-f:.]+\]):([0-9]{1,5})", re.IGNORECASE)
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?/?")
"""As browsers send it: in lower case, without a path."""
HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.IGNORECASE | re.ASCII)
DEFAULT_PORT = re.compile(r"http://[^/]*:80/?|https://[^/]*:443/?")
"""Which browsers leave out."""


def kind(name: str, hint: object, value: object) -> str:
    """`value` does not fit the type `hint` of the setting `name`."""
    given = "" if name.endswith(SECRET) else f" {value!r},"
    return f"is{given} not {_expected(name, hint)}"


def near(name: str, settings: Collection[str]) -> str | None:
    """The one of all settings' names that may be meant."""
    return next(iter(difflib.get_close_matches(name, settings, 1)), None)


def misspelt(environment: Mapping[str, str], settings: Collection[str]) -> list[str]:
    """What to say of `BATON_*` variables that are no settings: they would be ignored in silence.

    `BATON_UPSTREAM_*` are provider keys that a file for `baton apply` names."""
    said = []
    for variable in sorted(environment):
        name = variable.removeprefix("BATON_").lower()
        known = name in settings or name.startswith("upstream_")
        if known or not variable.startswith("BATON_"):
            continue
        found = near(name, settings)
        hint = f": is BATON_{found.upper()} meant?" if found else "."
        said.append(f"{variable} is no setting{hint}")
    return said


NEEDED: Mapping[str, str] = {
    "webhook_secret": "webhook_url",
    "webhook_percents": "webhook_url",
    "webhook_allow_private": "webhook_url",
    "database_timeout_s": "database_url",
    "database_connect_timeout_s": "database_url",
    "database_connections_max": "database_url",
    "lease_term_s": "database_url",
    "otel_sample_ratio": "otel_url",
    "content_bytes_max": "content_days_max",
    "refusals_rows_max": "refusals_days",
    "handoff_wait_s": "handoffs_max",
    "currency_micro_per_usd": "currency",
    "engine_eight_bit": "model",
    "engine_threads": "model",
    "engine_sequences": "model",
    "engine_context_tokens": "model",
    "engine_gpu_layers": "model",
    "engine_queue_max": "model",
    "engine_stall_timeout_s": "model",
    "engine_deterministic": "model",
    "engine_speculation": "model",
    "prefill_budget_ms": "model",
    "ready_wait_s": "model",
}
"""Settings that say nothing without another one. Where more hangs on it, the start is refused:
BATON_ADMIN_URL, BATON_TLS_KEY_FILE, BATON_JOURNAL=shared."""
WITHOUT = {"model": "none", "currency": "USD"}
"""What that other one is where there is none; else it is empty or 0."""


def idle(given: Mapping[str, object], usual: Mapping[str, object]) -> list[str]:
    """What to say of settings that are not as usual, and change nothing: they would be ignored in
    silence. All by their names."""
    said = []
    for name, needed in NEEDED.items():
        off = WITHOUT.get(needed)
        is_off = not given[needed] if off is None else given[needed] == off
        if is_off and given[name] != usual[name]:
            missing = (
                f"without BATON_{needed.upper()}"
                if given[needed] == ""
                else (f"with BATON_{needed.upper()}={given[needed]}")
            )
            said.append(f"BATON_{name.upper()} changes nothing {missing}")
    return said


def is_text(value: object) -> bool:
    """False for bytes of the environment or of an argument that could not be decoded: a file may be
    named so, but no JSON and no book can hold them."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def percents(text: str) -> tuple[int, ...]:
    """Thresholds, ascending. ValueError for what is none."""
    found = sorted({int(part) for part in text.split(",")})
    if found[0] < 1 or found[-1] > 100:
        raise ValueError(text)
    return tuple(found)


def _address(text: str) -> str | None:
    found = ADDRESS.fullmatch(text)
    fits = found is not None and int((found[3] or ":0")[1:]) <= PORT_MAX and _divides(text)
    if not text or fits:
        return None
    return "is no address: write it whole, such as https://relay.example.org"


def _place(text: str) -> str | None:
    found = PLACE.fullmatch(text)
    fits = found is not None and int(found[2]) <= PORT_MAX and _divides(f"//{text}")
    if not text or fits:
        return None
    return f"is {text!r}, not a host and a port, such as 127.0.0.1:9090 or [::1]:9090"


def _divides(url: str) -> bool:
    """Whether it can be taken apart: what is in brackets must be an address of IPv6, too."""
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def _origins(text: str) -> str | None:
    for each in (part.strip() for part in text.split(",")):
        if each in ("", "*", "null"):
            continue
        if not ORIGIN.fullmatch(each) or DEFAULT_PORT.fullmatch(each):
            return (
                f"has {each!r}, which is no origin: write it as browsers send it, such as "
                "https://example.com, in lower case, without a path and without :80 or :443"
            )
    return None


def _hosts(text: str) -> str | None:
    for each in (part.strip() for part in text.split(",")):
        if each and not HOST_NAME.fullmatch(each) and not _is_network(each.strip("[]")):
            return (
                f"has {each!r}, which is no host: write it without scheme, port and path, such as "
                "relay.example.org, *.example.org, [::1] or 10.0.0.0/8"
            )
    return None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _percents(text: str) -> str | None:
    try:
        percents(text)
    except ValueError:
        return f"is {text!r}, not percents from 1 to 100, such as 50,80,100"
    return None


def _model(text: str) -> str | None:
    """A path or a known name may be anything; what is no name of theirs is told later."""
    if not text.startswith(MODEL_NAMES) and "://" not in text:
        return None
    said: str | None = importlib.import_module("baton.model_names").misset(text)  # few starts do
    return said


JUDGES: Mapping[str, Callable[[str], str | None]] = {
    "model": _model,
    "public_url": _address,
    "admin_listen": _place,
    "admin_url": _address,
    "allowed_hosts": _hosts,
    "cors_origins": _origins,
    "webhook_percents": _percents,
    "otel_url": _address,
}
"""For settings whose type allows what nobody can mean: what is wrong with one, or None."""


def _expected(name: str, hint: object) -> str:
    kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    bounds = msgspec.Meta()
    if typing.get_origin(hint) is typing.Annotated:
        hint, bounds = typing.get_args(hint)
    said = kinds[typing.cast(type, hint)]
    said += next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    if bounds.gt is not None:
        said += f" above {bounds.gt}, at most {bounds.le}"
    elif bounds.ge is not None:
        said += f" from {bounds.ge} to {bounds.le}"
    if bounds.min_length:
        said += " that is not empty"
    return said if bounds.pattern is None else f"{said} of the form {bounds.pattern.strip('^$')}"
