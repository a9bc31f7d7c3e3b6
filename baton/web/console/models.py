"""Models: where each is answered, what it costs callers and the operator; prices are set here.

An ordinary key sees the models that it may use, and what they cost it.
"""

from decimal import Decimal
from typing import Any

from starlette.responses import Response

from baton.ledger.prices import PriceBook
from baton.stores.base import PriceRecord
from baton.web import admin_reports
from baton.web.admin import stored
from baton.web.console import fields
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.models import reachable
from baton.web.operation import Access

USD_A_MILLION = Decimal(10**6)
"""pico-USD a token: micro-USD a million tokens."""
PRICE_FIELDS = {
    "input": "input_pico",
    "cached": "cached_input_pico",
    "output": "output_pico",
}
HISTORY_MAX = 50


async def show_models(call: Call) -> Response:
    admin, now_us = call.may(Access.ADMIN), call.services.clock_us()
    prices = await stored(call.services.prices.all)
    present = _present(prices, now_us)
    names = list(reachable(call.services, call.user, None))
    routes = {}
    if admin:
        found = await admin_reports.list_model_routes(call.visit())
        routes = {one.id: one for one in found.data}
        names = list(routes)
    values = {
        "models": names,
        "routes": routes,
        "present": present,
        "history": list(reversed(prices))[:HISTORY_MAX] if admin else [],
        "admin": admin,
        "now_us": now_us,
        "done": call.request.query_params.get("done", ""),
    }
    return call.page("models.html", values)


def _present(prices: list[PriceRecord], now_us: int) -> dict[tuple[str, str | None], PriceRecord]:
    """Of each model and upstream the price that holds now."""
    book = PriceBook(prices)
    found = {}
    for record in prices:
        place = record.model, record.upstream
        held = (
            book.customer(record.model, now_us)
            if record.upstream is None
            else book.cost(record.model, record.upstream, now_us)
        )
        if held.version:
            found[place] = held
    return found


async def set_price(call: Call) -> Response:
    form = call.form
    given: dict[str, Any] = {
        "model": form.text("model"),
        "upstream": form.text("upstream") or None,
        "request_nano": fields.usd(form, "request") or 0,
    }
    for name, column in PRICE_FIELDS.items():
        if text := form.text(name):
            given[column] = fields.scaled(text, name, USD_A_MILLION)
    await admin_reports.set_price(call.visit(fields.body(admin_reports.PriceBody, given)))
    return call.go("models", done="set")


SCREENS = (
    Screen(method="GET", path="/console/models", access=Access.KEY, run=show_models),
    Screen(method="POST", path="/console/prices", access=Access.ADMIN, run=set_price),
)
