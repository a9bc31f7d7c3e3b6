"""Keys, upstreams and prices as one TOML file: its shape, and what differs from the store. Pure.

    [[key]]
    name = "team-a"
    sha256 = "9f86…"                  # of the key's value; the value itself is nowhere
    models = ["small"]
    requests_per_minute = 60
    budget_usd = "25"

    [[upstream]]
    name = "gpu-1"
    url = "http://10.0.0.5:8000/v1"
    dialect = "vllm"
    models = { small = "Qwen/Qwen3-0.6B" }
    key_env = "GPU_1_KEY"              # the variable that holds its API key

    [[price]]
    model = "small"
    input = "0.15"                     # USD per million tokens
    output = "0.60"

What an entry leaves out has its default, also where the store has another value: applying a file
twice, or to another store, ends at the same place.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, cast

import msgspec

from baton.admission import keys
from baton.cli import limits
from baton.cli.checked import key_fields, upstream_fields
from baton.cli.declared_accounts import (
    AccountEntry,
    Known,
    account_changes,
    by_path,
    ordered,
    paths,
    place_of,
)
from baton.cli.main import CommandError
from baton.cli.money import nano
from baton.cli.output import moment_us
from baton.cli.price_entries import Amount, PriceEntry, new_prices
from baton.cli.upstream_options import VARIABLE, keys_of, valued
from baton.stores.base import (
    KeyRecord,
    PartyKind,
    PartyRecord,
    PriceRecord,
    Role,
    UpstreamRecord,
)

PLACE = re.compile(r"`\$\.(\w+)\[(\d+)\]")
"""Of an entry, in msgspec's messages."""
KEY_FIELDS = (
    "name",
    "expires_us",
    "models",
    "default_model",
    "requests_per_minute",
    "budget_nano",
    "strict",
    "deterministic",
    "parse_special",
    "tokens_per_minute",
    "requests_at_once",
    "networks",
    "budgets",
    "keep_content_days",
)
UPSTREAM_FIELDS = tuple(
    name for name in UpstreamRecord.__struct_fields__ if name not in ("name", "created_us")
)


class KeyEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key, by the SHA-256 of its value."""

    name: str
    sha256: str
    role: Role = "user"
    expires: str | None = None
    models: list[str] = []
    default_model: str | None = None
    requests_per_minute: int | None = None
    budget_usd: Amount | None = None
    strict: bool = False
    deterministic: bool = False
    parse_special: bool = True
    keep_content_days: int = 0
    owner: str = ""
    """Path of the account that it belongs to."""
    owner_kind: PartyKind | None = None
    """Where accounts of two kinds have that path."""
    tokens_per_minute: int | None = None
    requests_at_once: int | None = None
    networks: list[str] = []
    budgets: list[str] = []
    """Beside `budget_usd`, as `baton key --budget` takes them; quotas likewise."""
    quotas: list[str] = []


class UpstreamEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An upstream; its key stays in the environment variable `key_env`."""

    name: str
    url: str
    models: dict[str, str]
    dialect: str = "openai"
    key_env: str | None = None
    more_key_envs: list[str] = []
    """Variables that hold further keys."""
    headers: dict[str, str] = {}
    """Added to every request; a value "$NAME" stands in the environment variable NAME."""
    proxy: str | None = None
    overrides: dict[str, Any] | str = {}
    """force, default, remove and forbid, as `baton upstream add` takes them; as JSON, if with a
    null."""
    allow_private: bool = True
    in_flight_max: int = 1024
    first_byte_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    total_timeout_s: float | None = None
    hedge_after_s: float | None = None
    probe_interval_s: float | None = None
    priority: int = 0
    weight: int = 100
    fields: list[str] = []
    continuation: dict[str, str] = {}
    fim: dict[str, str] = {}
    vocabularies: dict[str, str] = {}


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    key: list[KeyEntry] = []
    upstream: list[UpstreamEntry] = []
    price: list[PriceEntry] = []
    account: list[AccountEntry] = []


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has, with upstreams' secrets, and when it was read."""

    keys: list[KeyRecord]
    upstreams: list[UpstreamRecord]
    prices: list[PriceRecord]
    now_us: int
    parties: list[PartyRecord] = []


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do, so that the store becomes what the file says."""

    kind: Literal["key", "upstream", "price", "account"]
    action: Literal["create", "update", "revoke", "delete", "close"]
    name: str
    """Of an account: its path."""
    id: str = ""
    """The key's or account's id, for update, revoke and close."""
    sha256: str = ""
    """Of a key to create."""
    fields: dict[str, object] = {}

    def __repr__(self) -> str:
        """Without values: one of them may be a provider key."""
        return f"<Change {self.action} {self.kind} {self.name} {sorted(self.fields)}>"


class Written(str):
    """A number with a fraction, as the file has it: amounts of money are not rounded."""


def parse(text: str, file: str = "standard input") -> Declaration:
    """Read a file's text. CommandError says which entry is wrong."""
    document: dict[str, Any] = {}
    try:
        document = tomllib.loads(text, parse_float=Written)
        return msgspec.convert(document, Declaration, strict=False)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CommandError(f"{file}: {_entry_of(str(error), document)}{error}") from None


def _entry_of(message: str, document: Mapping[str, Any]) -> str:
    """Which entry a message of msgspec's is about: `$.key[3]` is the fourth one."""
    if (found := PLACE.search(message)) is None:
        return ""
    entry = document[found[1]][int(found[2])]
    name = entry.get("name", entry.get("model", "")) if isinstance(entry, dict) else ""
    return f"{found[1]} {name or int(found[2]) + 1}: "


def changes(
    wanted: Declaration, present: Present, environment: Mapping[str, str], *, prune: bool = False
) -> list[Change]:
    """What to do, in order: workers may see each change before the next, and what a model costs is
    known before it can be asked for. `prune` also removes upstreams, closes accounts and revokes
    users' keys that the file does not name; admin keys and prices stay."""
    _check_once(wanted)
    found = [
        *_account_changes(wanted.account, present, prune),
        *_price_changes(wanted.price, present),
        *_upstream_changes(wanted.upstream, present, environment, prune),
        *_key_changes(wanted.key, present, prune),
    ]
    _check_owners(found, present)
    return found


def _check_once(wanted: Declaration) -> None:
    """CommandError for what stands twice: the second would be made beside the first, or fail when
    half of the file is applied."""
    entries = [("upstream", entry.name) for entry in wanted.upstream]
    entries += [(entry.kind, entry.path) for entry in wanted.account]
    entries += [("key with the SHA-256", entry.sha256.lower()) for entry in wanted.key]
    for (kind, name), times in Counter(entries).items():
        if times > 1:
            raise CommandError(f"the {kind} {name} is in the file {times} times")


def _check_owners(found: Iterable[Change], present: Present) -> None:
    """CommandError for what would belong to nobody: it would fail when half of the file is
    applied."""
    known = by_path(present.parties)
    for change in found:
        if change.action == "create" and change.kind in ("account", "key"):
            place_of(change.fields, known)
        if change.action == "create" and change.kind == "account":
            known.setdefault(change.name, []).append(
                Known(cast(PartyKind, change.fields["kind"]), "")
            )


def _account_changes(
    wanted: Iterable[AccountEntry], present: Present, prune: bool
) -> Iterator[Change]:
    for each in account_changes(wanted, present.parties, present.now_us, prune=prune):
        yield Change(
            kind="account", action=each.action, name=each.path, id=each.id, fields=each.fields
        )


def _upstream_changes(
    wanted: Iterable[UpstreamEntry],
    present: Present,
    environment: Mapping[str, str],
    prune: bool,
) -> Iterator[Change]:
    there = {record.name: record for record in present.upstreams}
    for entry in wanted:
        record = there.pop(entry.name, None)
        fields = _upstream_fields(entry, record, environment)
        if record is None:
            yield Change(kind="upstream", action="create", name=entry.name, fields=fields)
        elif differing := _differing(fields, record, UPSTREAM_FIELDS):
            yield Change(kind="upstream", action="update", name=entry.name, fields=differing)
    for name in there if prune else ():
        yield Change(kind="upstream", action="delete", name=name)


def _upstream_fields(
    entry: UpstreamEntry, record: UpstreamRecord | None, environment: Mapping[str, str]
) -> dict[str, object]:
    fields = msgspec.structs.asdict(entry) | {"overrides": _overrides(entry)}
    variable = fields.pop("key_env")
    secret = None if variable is None else environment.get(variable)
    if variable is not None and not secret:
        if record is None or record.secret is None:
            message = f"upstream {entry.name}: {variable}, which holds its key, is not set"
            raise CommandError(message)
        secret = record.secret  # the stored one stays
    fields["more_secrets"] = _more_secrets(fields.pop("more_key_envs"), record, environment)
    fields["headers"] = _headers(entry.headers, record, environment)
    return upstream_fields({**fields, "secret": secret})


def _overrides(entry: UpstreamEntry) -> Any:
    if not isinstance(entry.overrides, str):
        return _numbers(entry.overrides)
    try:
        return msgspec.json.decode(entry.overrides)
    except msgspec.DecodeError as error:
        raise CommandError(f"upstream {entry.name}: overrides are no JSON: {error}") from None


def _numbers(value: Any) -> Any:
    """What goes to an upstream has numbers where the file has them."""
    match value:
        case dict():
            return {name: _numbers(each) for name, each in value.items()}
        case list():
            return [_numbers(each) for each in value]
        case Written():
            return float(value)
    return value


def _more_secrets(
    variables: list[str], record: UpstreamRecord | None, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """From the environment; as they are stored where none of the variables is set."""
    there = record.more_secrets if record is not None else ()
    if len(there) == len(variables) and not any(name in environment for name in variables):
        return there
    return keys_of(variables, environment)


def _headers(
    given: Mapping[str, str], record: UpstreamRecord | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """Values from the environment; those that it lacks as they are stored."""
    there = record.headers if record is not None else {}
    found = {}
    for name, text in given.items():
        stays = name in there and text.removeprefix(VARIABLE) not in environment
        kept = stays and text.startswith(VARIABLE)
        found[name] = there[name] if kept else valued(text, environment)
    return found


def _price_changes(wanted: Iterable[PriceEntry], present: Present) -> Iterator[Change]:
    for record in new_prices(wanted, present.prices, present.now_us):
        fields = msgspec.structs.asdict(record)
        del fields["version"]
        yield Change(kind="price", action="create", name=record.model, fields=fields)


def _key_changes(wanted: Iterable[KeyEntry], present: Present, prune: bool) -> Iterator[Change]:
    there = {record.digest.hex(): record for record in present.keys}
    before = {r.previous_digest.hex() for r in present.keys if r.previous_digest is not None}
    owners = paths(present.parties)
    kinds = {record.id: record.kind for record in present.parties}
    for entry in wanted:
        sha256 = entry.sha256.lower()
        record = there.pop(sha256, None)
        fields = _key_fields(entry, present.now_us)
        if record is None:
            if sha256 in before:
                message = "its value was rotated: write the SHA-256 of the new one"
                raise CommandError(f"key {entry.name}: {message}")
            if keys.stored_as(sha256) is None:
                raise CommandError(f"key {entry.name}: {keys.WANTED}")
            yield Change(kind="key", action="create", name=entry.name, sha256=sha256, fields=fields)
            continue
        owner = record.owner or ""
        _check_kept(entry, record, owners.get(owner, ""), kinds.get(owner))
        if differing := _differing(fields, record, KEY_FIELDS):
            yield Change(
                kind="key", action="update", name=entry.name, id=record.id, fields=differing
            )
    for record in there.values() if prune else ():
        if record.role == "user" and record.revoked_us is None:
            yield Change(kind="key", action="revoke", name=record.name, id=record.id)


def _check_kept(entry: KeyEntry, record: KeyRecord, owner: str, kind: PartyKind | None) -> None:
    if owner != entry.owner or entry.owner_kind not in (None, kind):
        message = f"it belongs to {_named(owner, kind)}, and no key changes its owner"
        raise CommandError(f"key {entry.name}: {message}")
    if record.revoked_us is not None:
        raise CommandError(f"key {entry.name}: it was revoked, and a revoked key never comes back")
    if record.role != entry.role:
        raise CommandError(f"key {entry.name}: its role is {record.role}, and no key changes it")


def _named(owner: str, kind: PartyKind | None) -> str:
    return "nobody" if kind is None else f"the {kind} {owner}"


def _key_fields(entry: KeyEntry, now_us: int) -> dict[str, object]:
    fields: dict[str, object] = msgspec.structs.asdict(entry)
    for name in ("sha256", "expires", "budget_usd", "quotas", "owner_kind"):
        del fields[name]
    if entry.role == "team_admin" and not entry.owner:
        message = "a team admin's key belongs to a team or organisation: give its owner"
        raise CommandError(f"key {entry.name}: {message}")
    fields["owner"] = entry.owner or None
    fields["budgets"] = ordered(limits.budgets(entry.budgets, entry.quotas))
    budget, expires = entry.budget_usd, entry.expires
    fields["budget_nano"] = None if budget is None else nano(str(budget))
    fields["expires_us"] = None if expires is None else moment_us(expires, now_us)
    kind = {"owner_kind": entry.owner_kind} if entry.owner_kind is not None else {}
    return {**key_fields(fields), "budgets": fields["budgets"], **kind}


def _differing(
    fields: Mapping[str, object], record: KeyRecord | UpstreamRecord, names: Iterable[str]
) -> dict[str, object]:
    return {name: fields[name] for name in names if fields[name] != getattr(record, name)}
