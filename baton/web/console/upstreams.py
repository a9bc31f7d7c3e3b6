"""Upstreams and routes: how each fares, how much of a model's traffic it takes, what it can do; by
the operations of /admin/v1/upstreams.
"""

from typing import Any

from starlette.responses import Response

from baton.errors import invalid
from baton.web import admin_checks, admin_reports, admin_upstreams
from baton.web.admin import PageQuery
from baton.web.admin_upstreams import UpstreamView
from baton.web.console import fields, histories
from baton.web.console.call import Call
from baton.web.console.forms import Form
from baton.web.console.screen import Screen
from baton.web.operation import Access

WEIGHT_SLIDER_MAX = 200
"""Of the slider; a larger weight is set as a number."""
TIMES = {
    "first_byte_timeout_s": "upstream_first_byte_timeout_s",
    "stall_timeout_s": "upstream_stall_timeout_s",
    "total_timeout_s": "upstream_total_timeout_s",
    "hedge_after_s": None,
    "probe_interval_s": None,
}
"""Seconds that an upstream may have of its own, and the setting that holds where it has none."""
SEEN = ("url", "dialect", "models", "weight", "priority", "in_flight_max", *TIMES)


async def list_upstreams(call: Call) -> Response:
    found = await admin_upstreams.list_upstreams(call.visit(query=PageQuery(limit=1000)))
    models = await admin_reports.list_model_routes(call.visit())
    values = {
        "upstreams": found.data,
        "routes": [(model, shares(model.upstreams)) for model in models.data],
        "dialects": call.services.dialects(),
        "embedded": call.services.embedded,
        "done": call.request.query_params.get("done", ""),
        "slider_max": WEIGHT_SLIDER_MAX,
        "times": usual_times(call),
        **await histories.strips(call, [one.name for one in found.data]),
    }
    return call.page("upstreams.html", values)


def usual_times(call: Call) -> dict[str, float | None]:
    """What holds where an upstream has no time of its own; None: it is not done."""
    settings = call.services.settings
    return {
        name: None if setting is None else getattr(settings, setting)
        for name, setting in TIMES.items()
    }


def shares(places: list[admin_reports.Place]) -> dict[str, str]:
    """Of the places that come first, the part of the traffic that each takes by its weight."""
    first = min((place.priority for place in places), default=0)
    whole = sum(place.weight for place in places if place.priority == first)
    return {
        place.upstream: f"{100 * place.weight / whole:.0f} %" if whole else "–"
        for place in places
        if place.priority == first
    }


async def show_upstream(call: Call) -> Response:
    return call.page("upstream.html", await _values(call))


async def _values(call: Call, **more: Any) -> dict[str, Any]:
    found: UpstreamView = await admin_upstreams.get_upstream(call.visit())
    return {
        "one": found,
        "seen": fields.told(found, SEEN),
        "dialects": call.services.dialects(),
        "done": call.request.query_params.get("done", ""),
        "checked": None,
        "asked_model": "",
        "slider_max": WEIGHT_SLIDER_MAX,
        "times": usual_times(call),
        **more,
    }


async def add_upstream(call: Call) -> Response:
    form = call.form
    given = {"name": form.text("name"), **_changeable(form)}
    if secret := form.text("secret"):
        given["secret"] = secret
    body = fields.body(admin_upstreams.UpstreamBody, given)
    made = await admin_upstreams.create_upstream(call.visit(body))
    return call.go(f"upstreams/{made.name}", done="added")


async def change_upstream(call: Call) -> Response:
    given = fields.changed(call.form, _changeable)
    if secret := call.form.text("secret"):
        given["secret"] = secret
    body = fields.body(admin_upstreams.UpstreamChangeBody, given)
    changed = await admin_upstreams.change_upstream(call.visit(body), fields.seen(call.form))
    return call.go(f"upstreams/{changed.name}", done="changed")


async def set_weight(call: Call) -> Response:
    given = fields.changed(
        call.form, lambda form: {name: fields.whole(form, name) for name in ("weight", "priority")}
    )
    if None in given.values():
        raise invalid("Give weight and priority.", param="weight")
    body = fields.body(admin_upstreams.UpstreamChangeBody, given)
    await admin_upstreams.change_upstream(call.visit(body))
    return call.go("upstreams", done="changed")


async def remove_upstream(call: Call) -> Response:
    await admin_upstreams.delete_upstream(call.visit())
    return call.go("upstreams", done="removed")


async def try_upstream(call: Call) -> Response:
    """Some twenty calls of a few tokens: the row of capabilities, as declared and as found."""
    given = {"model": call.form.text("model") or None}
    body = fields.body(admin_checks.UpstreamCheckBody, given)
    checked = await admin_checks.check_upstream(call.visit(body))
    values = await _values(call, checked=checked.data, asked_model=given["model"] or "")
    return call.page("upstream.html", values)


def _changeable(form: Form) -> dict[str, Any]:
    given: dict[str, Any] = {
        "url": form.text("url"),
        "dialect": form.text("dialect"),
        "models": _models(form.get("models", "")),
    }
    for name in ("weight", "priority", "in_flight_max"):
        if (value := fields.whole(form, name)) is not None:
            given[name] = value
    return given | {name: fields.seconds(form, name) for name in TIMES if name in form}


def _models(text: str) -> dict[str, str]:
    """Lines of `public name = the upstream's own name`; one name alone is both."""
    found = {}
    for line in text.splitlines():
        public, _, own = (part.strip() for part in line.partition("="))
        if public:
            found[public] = own or public
    if not found:
        raise invalid("Name a model: `public name = the upstream's own name`.", param="models")
    return found


SCREENS = (
    Screen(method="GET", path="/console/upstreams", access=Access.ADMIN, run=list_upstreams),
    Screen(method="POST", path="/console/upstreams", access=Access.ADMIN, run=add_upstream),
    Screen(method="GET", path="/console/upstreams/{name}", access=Access.ADMIN, run=show_upstream),
    Screen(
        method="POST", path="/console/upstreams/{name}", access=Access.ADMIN, run=change_upstream
    ),
    Screen(
        method="POST", path="/console/upstreams/{name}/weight", access=Access.ADMIN, run=set_weight
    ),
    Screen(
        method="POST", path="/console/upstreams/{name}/test", access=Access.ADMIN, run=try_upstream
    ),
    Screen(
        method="POST",
        path="/console/upstreams/{name}/remove",
        access=Access.ADMIN,
        run=remove_upstream,
    ),
)
