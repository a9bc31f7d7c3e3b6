"""The admin API's own rules for keys and upstreams, so that every door has the same."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from baton import config
from baton.cli.main import CommandError
from baton.errors import RequestError
from baton.routing.routes import EMBEDDED
from baton.stores.base import UpstreamRecord
from baton.upstreams import endpoint, registry
from baton.web import limits
from baton.web.admin_keys import KeyBody, check_default
from baton.web.admin_parties import OrganisationBody
from baton.web.admin_upstreams import UpstreamBody, judge_places

Body = TypeVar("Body", bound=msgspec.Struct)


def key_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Fields of a key, each within its limits; CommandError names the one that is not."""
    name = f"key {fields.get('name')}"
    found = _limited(fields, KeyBody, name)
    default, models = found["default_model"], found["models"]
    try:
        check_default(cast("str | None", default), cast("tuple[str, ...]", models))
    except RequestError as error:
        raise CommandError(f"{name}: {error.message}") from None
    return found


def allowed_days(days: int) -> int:
    """For how long a key shall keep content; CommandError beyond what the settings allow."""
    try:
        limits.check_keep_days(days, config.load().content_days_max)
    except RequestError as error:
        raise CommandError(error.message) from None
    return days


def party_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Likewise of an organisation, a team or a user."""
    return _limited(fields, OrganisationBody, f"account {fields.get('name')}")


def _limited(fields: Mapping[str, object], body: type[Body], name: str) -> dict[str, object]:
    given = {**fields, "budgets": msgspec.to_builtins(fields.get("budgets", ()))}
    try:
        return limits.checked(_converted(given, body, name))
    except RequestError as error:
        raise CommandError(f"{name}: {error.message}") from None


def upstream_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Fields of an upstream that can be called; CommandError says what is wrong otherwise."""
    name = f"upstream {fields.get('name')}"
    checked = _converted(fields, UpstreamBody, name)
    if checked["name"] == EMBEDDED:
        raise CommandError(f"{name}: that is the model inside Baton")
    try:
        endpoint.parse(str(checked["url"]))
        ways = msgspec.convert(checked["continuation"], dict[str, str])
        registry.check_continuation(str(checked["dialect"]), ways)
        record = msgspec.convert(checked, UpstreamRecord)
        registry.check_options(record)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None
    return checked


def check_place(record: UpstreamRecord) -> None:
    """CommandError where the upstream, or the proxy to it, must not be called; resolves names."""
    try:
        asyncio.run(judge_places(record))
    except ValueError as error:
        raise CommandError(f"upstream {record.name}: {error}") from None


def _converted(fields: Mapping[str, object], body: type[Body], name: str) -> dict[str, object]:
    try:
        return msgspec.structs.asdict(msgspec.convert(fields, body))
    except msgspec.ValidationError as error:
        raise CommandError(f"{name}: {error}") from None
