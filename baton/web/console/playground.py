"""The playground's page: a form for every field of a completion, with the range that each may have.

The page calls `POST /v1/completions` as any client does; it shows the session and its mark in place
of a key, or a key that is typed into it. So limits, budgets, revocation and the ledger are those of
every other call, and there is no second way to a completion (docs/decisions/0030).
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec
from markupsafe import Markup
from starlette.responses import Response

from baton.decoding import WireFields
from baton.ledger.prices import PriceBook
from baton.protocol import CompletionRequest, RequestLimits
from baton.stores.base import PriceDetails, PriceRecord
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.models import reachable
from baton.web.operation import Access

MODES = ("complete", "fill", "surprise", "batch")
LEVELS = ("≥ 90 %", "≥ 50 %", "≥ 20 %", "≥ 5 %", "≥ 1 %", "< 1 %")
"""What the six colours of tokens stand for (static/playground/probability.js has the bounds)."""
WORDS = "say."
"""Texts that the page's script says begin so."""

DEFAULTS: Mapping[str, str] = {
    field.name: f"{field.default:g}"
    for field in msgspec.structs.fields(CompletionRequest)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
}
"""Numbers that a request has where it names none."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What a field may hold. Bounds are inclusive; None: there is none worth telling."""

    kind: str
    least: float | None = None
    most: float | None = None
    usual: str = ""
    """What it is when it is left out."""

    @property
    def shown(self) -> str:
        """Its bounds as a reader sees them: `0 … 2`, on one line."""
        if self.least is None and self.most is None:
            return ""
        low = "" if self.least is None else f"{self.least:g}".replace("-", "\u2212")
        high = "" if self.most is None else f"{int(self.most):,}".replace(",", "\u202f")
        return f"{low}\u00a0…\u00a0{high}" if high else f"≥ {low}"


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What callers pay for a model at this moment: pico-USD a token, nano-USD a request."""

    input_pico: int
    cached_input_pico: int | None
    output_pico: int
    request_nano: int
    details: PriceDetails | None


class PlayModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the visitor's key reaches."""

    name: str
    price: Price


def ranges(limits: RequestLimits) -> dict[str, Range]:
    """Every field with the bounds that decoding holds it to: by its type, and by settings."""
    most = {
        "max_tokens": limits.max_tokens_max,
        "n": limits.n_max,
        "best_of": limits.best_of_max,
        "logprobs": limits.logprobs_max,
        "stop": limits.stops_max,
    }
    return {
        field.name: _range(field.name, field.type, most.get(field.name))
        for field in msgspec.structs.fields(WireFields)
    }


def _range(name: str, wire_type: Any, most: int | None) -> Range:
    kind, low, high = "text", None, None
    for each in (wire_type, *get_args(wire_type)):
        plain, metas = (
            (get_args(each)[0], get_args(each)[1:]) if get_origin(each) is Annotated else (each, ())
        )
        kind = {int: "integer", float: "number", bool: "flag"}.get(plain, kind)
        for meta in metas:
            low = meta.ge if meta.ge is not None else low
            high = meta.le if meta.le is not None else high
    if name == "seed":  # 64 bits: more than a page's numbers hold, and nobody has to be told
        low = high = None
    return Range(
        kind=kind,
        least=low,
        most=high if most is None else most,
        usual=DEFAULTS.get(name, ""),
    )


def models(call: Call) -> list[PlayModel]:
    """What the visitor's key reaches, each with its price of this moment."""
    services = call.services
    catalogue = services.catalogue()
    book = PriceBook(catalogue.prices)
    found = reachable(services, call.user, None)
    return [
        PlayModel(name=name, price=_price(book.customer(name, services.clock_us())))
        for name in found
    ]


def _price(record: PriceRecord) -> Price:
    return Price(
        input_pico=record.input_pico,
        cached_input_pico=record.cached_input_pico,
        output_pico=record.output_pico,
        request_nano=record.request_nano,
        details=record.details,
    )


def first_model(call: Call, names: list[str]) -> str:
    """What the form begins with: the key's default, the embedded model, else the first."""
    embedded = call.services.embedded
    wished = [call.record.default_model, embedded.model if embedded is not None else None]
    return next((name for name in wished if name in names), names[0] if names else "") or ""


async def get_playground(call: Call) -> Response:
    reached = models(call)
    names = [each.name for each in reached]
    fields = ranges(call.services.settings.request_limits())
    words = {
        key.removeprefix(WORDS): text for key, text in call.texts.items() if key.startswith(WORDS)
    }
    return call.page(
        "playground.html",
        {
            "address": call.services.settings.address,
            "modes": MODES,
            "levels": LEVELS,
            "fields": fields,
            "names": names,
            "model": first_model(call, names),
            "models": attribute(reached),
            "ranges": attribute(fields),
            "words": attribute(words),
        },
    )


def attribute(value: object) -> Markup:
    """JSON for an attribute, whole: a text of a page would be cut (plain.py)."""
    return Markup.escape(msgspec.json.encode(value).decode())


SCREENS = (Screen(method="GET", path="/console/playground", access=Access.KEY, run=get_playground),)
