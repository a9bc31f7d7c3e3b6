"""What a key can reach: the public models, and the caller's own limits."""

from dataclasses import dataclass

import msgspec

from baton.errors import invalid, unknown_model
from baton.stores.base import Catalogue, KeyRecord, Role
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.services import Embedded, Services


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


def reachable(services: Services, key: KeyRecord, fixed: str | None) -> dict[str, Found]:
    """The models that this key may use, and that this path leads to."""
    return {
        name: found
        for name, found in found_models(services.catalogue(), services.embedded).items()
        if (not key.models or name in key.models) and fixed in (None, name)
    }


def meant(services: Services, key: KeyRecord, named: str | None, fixed: str | None) -> Found:
    """The model that a call without a duty to name one is about.

    The path's, else the named one, else the key's default, else the only one that the key reaches.
    """
    found = reachable(services, key, fixed)
    name = fixed or named or key.default_model
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
    found = reachable(services, visit.caller, visit.fixed_model)
    return ModelList(data=[_shown(each, services.embedded) for each in found.values()])


async def get_model(visit: Visit[Nothing, AnyQuery]) -> Model:
    services, name = visit.services, visit.part("id")
    found = reachable(services, visit.caller, visit.fixed_model)
    if name not in found:
        raise unknown_model(name)
    return _shown(found[name], services.embedded)


async def get_own_key(visit: Visit[Nothing, AnyQuery]) -> KeyStanding:
    key = visit.caller
    standing = await visit.services.gate.standing(key)
    left = None
    if key.budget_nano is not None:
        left = max(0, key.budget_nano - standing.spent_nano - standing.held_nano)
    return KeyStanding(
        id=key.id,
        name=key.name,
        role=key.role,
        expires_us=key.expires_us,
        models=key.models,
        default_model=key.default_model,
        requests_per_minute=key.requests_per_minute,
        requests_remaining=standing.requests_remaining,
        budget_nano=key.budget_nano,
        spent_nano=standing.spent_nano,
        held_nano=standing.held_nano,
        remaining_nano=left,
        strict=key.strict,
        deterministic=key.deterministic,
    )


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
