"""What a key can reach: the public models, and the caller's own limits."""

from dataclasses import dataclass
from itertools import islice

import msgspec

from baton.admission.gate import Caller
from baton.errors import invalid, unknown_model
from baton.ledger.prices import PriceBook
from baton.stores.base import Allowance, Catalogue, Role
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.services import Embedded, Services
from baton.web.standing import (
    FreeStanding,
    LevelStanding,
    Tightest,
    free_accounts,
    free_standings,
    level_standings,
    tightest,
)

FREE_MAX = 1_000
"""Allowances that are told of: their balances are asked of the book in one question."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model in OpenAI's shape; `max_model_len` is vLLM's name for the context."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "baton"
    max_model_len: int | None
    """Prompt and completion together, in tokens; null where the upstream does not tell."""


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[Model]


class KeyStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's own key: its limits, and what is left. Money in nano-USD, null: no limit."""

    object: str = "key"
    id: str
    name: str
    role: Role
    expires_us: int | None
    models: tuple[str, ...]
    """Public names that it may use; empty: all."""
    default_model: str | None
    requests_per_minute: int | None
    requests_remaining: int | None
    """Requests that the limit would let through at this moment."""
    budget_nano: int | None
    spent_nano: int
    held_nano: int
    """Reserved by requests under way."""
    remaining_nano: int | None
    strict: bool
    deterministic: bool
    keep_content_days: int
    """For so many days what is asked and answered with it is kept, sealed, for those who administer
    it to read; 0: never."""
    levels: list[LevelStanding]
    """The key and all above it: a request must pass every one."""
    tightest: Tightest | None
    """Which limit is closest to being used up; null: there is none."""
    free: list[FreeStanding]
    """What is left of the free allowances of models that it may use."""


@dataclass(frozen=True, slots=True)
class Found:
    """A public model and where it lives."""

    name: str
    created_s: int
    embedded: bool
    upstreams: tuple[str, ...]


def found_models(catalogue: Catalogue, embedded: Embedded | None) -> dict[str, Found]:
    """Every public model by name, in the order of names."""
    names: dict[str, list[str]] = {}
    created: dict[str, int] = {}
    for upstream in catalogue.upstreams.values():
        for model in upstream.models:
            names.setdefault(model, []).append(upstream.name)
            created_s = upstream.created_us // 1_000_000
            created[model] = min(created_s, created.get(model, created_s))
    own = None if embedded is None else embedded.model
    if embedded is not None:
        names.setdefault(embedded.model, [])
        created[embedded.model] = embedded.created_s
    return {
        name: Found(name, created[name], name == own, tuple(sorted(names[name])))
        for name in sorted(names)
    }


def reachable(services: Services, caller: Caller, fixed: str | None) -> dict[str, Found]:
    """The models that this caller may use, and that this path leads to."""
    return {
        name: found
        for name, found in found_models(services.catalogue(), services.embedded).items()
        if caller.allowed(name) and fixed in (None, name)
    }


def meant(services: Services, caller: Caller, named: str | None, fixed: str | None) -> Found:
    """The model that a call without a duty to name one is about.

    The path's, else the named one, else the key's default, else the only one that the key reaches.
    """
    found = reachable(services, caller, fixed)
    name = fixed or named or caller.record.default_model
    if name is not None:
        if name not in found:
            raise unknown_model(name)
        return found[name]
    if len(found) != 1:
        raise invalid(
            "This key reaches several models: say which one is meant."
            if found
            else "This key reaches no model.",
            param="model",
        )
    return next(iter(found.values()))


def _shown(found: Found, embedded: Embedded | None) -> Model:
    facts = embedded.description if embedded is not None and found.embedded else None
    context = None if facts is None else facts.context_tokens_max
    return Model(id=found.name, created=found.created_s, max_model_len=context)


async def list_models(visit: Visit[Nothing, AnyQuery]) -> ModelList:
    services = visit.services
    found = reachable(services, visit.user, visit.fixed_model)
    return ModelList(data=[_shown(each, services.embedded) for each in found.values()])


async def get_model(visit: Visit[Nothing, AnyQuery]) -> Model:
    services, name = visit.services, visit.part("id")
    found = reachable(services, visit.user, visit.fixed_model)
    if name not in found:
        raise unknown_model(name)
    return _shown(found[name], services.embedded)


async def get_own_key(visit: Visit[Nothing, AnyQuery]) -> KeyStanding:
    key, services = visit.caller, visit.services
    now_us = services.clock_us()
    free = free_now(services, visit.user, now_us)
    further = tuple(free_accounts(key.account, free, now_us).values())
    standing = await services.gate.standing(visit.user, further)
    levels = level_standings(
        visit.user.levels, key.budget_nano, standing.balances, standing.left, now_us
    )
    own = standing.balances.get(key.account)
    spent, held = (own.posted_nano, own.leased_nano) if own is not None else (0, 0)
    left = None if key.budget_nano is None else max(0, key.budget_nano - spent - held)
    return KeyStanding(
        id=key.id,
        name=key.name,
        role=key.role,
        expires_us=key.expires_us,
        models=key.models,
        default_model=key.default_model,
        requests_per_minute=key.requests_per_minute,
        requests_remaining=levels[0].requests_remaining,
        budget_nano=key.budget_nano,
        spent_nano=spent,
        held_nano=held,
        remaining_nano=left,
        strict=key.strict,
        deterministic=key.deterministic,
        keep_content_days=key.keep_content_days,
        levels=levels,
        tightest=tightest(levels),
        free=free_standings(key.account, free, standing.balances, now_us),
    )


def free_now(services: Services, caller: Caller, now_us: int) -> dict[str, Allowance]:
    """The free allowances of models that the caller may use, as prices have them at that moment;
    the first `FREE_MAX` by name."""
    prices = [each for each in services.catalogue().prices if each.upstream is None]
    if not any(each.free for each in prices):
        return {}
    book, found = PriceBook(prices), {}
    for model in reachable(services, caller, None):
        allowance = book.customer(model, now_us).free
        if allowance is not None:
            found[model] = allowance
    return dict(islice(found.items(), FREE_MAX))


OPERATIONS = (
    Operation(
        id="listmodels",
        tag="models",
        method="GET",
        path="/v1/models",
        access=Access.KEY,
        run=list_models,
        query=AnyQuery,
        answer=ModelList,
        prefixed=True,
    ),
    Operation(
        id="getmodel",
        tag="models",
        method="GET",
        path="/v1/models/{id:path}",
        access=Access.KEY,
        run=get_model,
        query=AnyQuery,
        answer=Model,
        errors=(404,),
        prefixed=True,
    ),
    Operation(
        id="getkey",
        tag="models",
        method="GET",
        path="/v1/key",
        access=Access.KEY,
        run=get_own_key,
        query=AnyQuery,
        answer=KeyStanding,
        prefixed=True,
    ),
)
