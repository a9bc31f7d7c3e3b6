"""`baton export`: the declaration that `baton apply` would bring this store's state about with."""

import itertools
import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from baton.cli.apply import read
from baton.cli.declaration import (
    Declaration,
    KeyEntry,
    Present,
    UpstreamEntry,
)
from baton.cli.declared_accounts import by_path, entries, living, paths, texts
from baton.cli.money import usd
from baton.cli.opened import opened
from baton.cli.output import AsJson, print_json, when
from baton.cli.price_entries import entry
from baton.cli.upstream_options import VARIABLE
from baton.semantics.overrides import Overrides
from baton.stores.base import KeyRecord, PartyKind, PartyRecord, PriceRecord, UpstreamRecord

BARE = re.compile(r"[A-Za-z0-9_-]+")


def run(as_json: AsJson = False) -> None:
    """Write keys (by SHA-256), upstreams and prices as TOML for `apply`; never a secret."""
    with opened() as store:
        declaration = describe(read(store))
    if as_json:
        return print_json(declaration)
    print(f"# baton export, {when(time.time_ns() // 1000)}. Apply with: baton apply FILE")
    print(as_toml(declaration), end="")


def describe(present: Present) -> Declaration:
    """What is in force, or will be; revoked keys, closed accounts and superseded prices are left
    out."""
    owners = {None, *(each.id for each in living(present.parties))}
    names, kinds = paths(present.parties), _kinds(present.parties)
    begun = variables(record.name for record in present.upstreams)
    keys = [each for each in present.keys if not each.revoked_us and each.owner in owners]
    return Declaration(
        account=entries(present.parties),
        key=[_key(record, names, kinds) for record in keys],
        upstream=[_upstream(record, begun[record.name]) for record in present.upstreams],
        price=[entry(record) for record in in_force(present.prices, present.now_us)],
    )


def in_force(prices: Iterable[PriceRecord], now_us: int) -> list[PriceRecord]:
    """For each model and upstream the price of now and those to come, in the order in which they
    can be set: one with a markup behind the cost that it follows."""
    kept: dict[tuple[str, str | None, int], PriceRecord] = {}
    for price in sorted(prices, key=_in_order):
        since_us = max(price.effective_us, now_us)  # all of the past come down to the last
        kept[(price.model, price.upstream, since_us)] = price
    return sorted(kept.values(), key=_in_order)


def _in_order(price: PriceRecord) -> tuple[int, int]:
    return price.effective_us, price.version


def variables(upstreams: Iterable[str]) -> dict[str, str]:
    """By its name, what begins the environment variables that an exported upstream's secrets are
    expected in: no two have the same, else one would be sent the key of the other."""
    found: dict[str, str] = {}
    for name in upstreams:
        plain = "BATON_UPSTREAM_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        numbered = (f"{plain}_{number}" for number in itertools.count(2))
        held = itertools.chain([plain], numbered)
        found[name] = next(each for each in held if each not in found.values())
    return found


def as_toml(declaration: Declaration) -> str:
    """The file's text. Fields at their default are left out."""
    blocks = []
    for kind in ("upstream", "price", "account", "key"):
        for each in getattr(declaration, kind):
            lines = [f"{name} = {_value(value)}" for name, value in _given(each).items()]
            blocks.append("\n".join([f"\n[[{kind}]]", *lines, ""]))
    return "".join(blocks)


def _given(entry: msgspec.Struct) -> dict[str, object]:
    defaults = {
        field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        for field in msgspec.structs.fields(entry)
        if not field.required
    }
    fields = msgspec.structs.asdict(entry)
    return {k: v for k, v in fields.items() if k not in defaults or v != defaults[k]}


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return f"{{ {', '.join(f'{_name(k)} = {_value(v)}' for k, v in value.items())} }}"
        case _:
            return _text(str(value))


def _name(name: str) -> str:
    return name if BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """What would not be seen, or would turn what stands behind it around, is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in quoted)


def _kinds(parties: Iterable[PartyRecord]) -> dict[str, PartyKind]:
    """Of accounts, by id, whose path another one has, too."""
    alike = [each for each in by_path(parties).values() if len(each) > 1]
    return {known.id: known.kind for each in alike for known in each}


def _key(record: KeyRecord, owners: Mapping[str, str], kinds: Mapping[str, PartyKind]) -> KeyEntry:
    budget = record.budget_nano
    return KeyEntry(
        name=record.name,
        sha256=record.digest.hex(),
        role=record.role,
        expires=when(record.expires_us, exact=True),
        models=list(record.models),
        default_model=record.default_model,
        requests_per_minute=record.requests_per_minute,
        budget_usd=None if budget is None else usd(budget),
        strict=record.strict,
        deterministic=record.deterministic,
        parse_special=record.parse_special,
        keep_content_days=record.keep_content_days,
        owner=owners.get(record.owner or "", ""),
        owner_kind=kinds.get(record.owner or ""),
        tokens_per_minute=record.tokens_per_minute,
        requests_at_once=record.requests_at_once,
        networks=list(record.networks),
        **texts(record.budgets),
    )


def _upstream(record: UpstreamRecord, held: str) -> UpstreamEntry:
    fields = msgspec.structs.asdict(record)
    has_key = fields.pop("secret") is not None
    del fields["created_us"]
    key_env = f"{held}_KEY" if has_key else None
    count = len(record.more_secrets)
    del fields["more_secrets"]
    return UpstreamEntry(
        **{
            **fields,
            "fields": list(record.fields),
            "key_env": key_env,
            "more_key_envs": [f"{held}_KEY_{number}" for number in range(2, count + 2)],
            "headers": {
                name: f"{VARIABLE}{header_variable(held, name)}" for name in record.headers
            },
            "overrides": _overrides(record.overrides),
        }
    )


def _overrides(given: Overrides) -> dict[str, Any] | str:
    text = msgspec.json.encode(given)
    fields: dict[str, Any] = msgspec.json.decode(text)
    return text.decode() if _has_null(fields) else fields


def _has_null(value: object) -> bool:
    """TOML has none."""
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def header_variable(held: str, name: str) -> str:
    """The environment variable that an exported upstream's header is expected in."""
    return f"{held}_HEADER_{name.upper().replace('-', '_')}"
