"""/admin/v1/requests/{id}/content: what was asked and answered, where the request's key opted in.

For those who may administer that key: admins, and team admins for the keys within their party.
Who only reads reports does not read these. Each reading is an entry of the audit log.
"""

from typing import Any, Literal

import msgspec

from baton.errors import RequestError
from baton.semantics.events import Prompt
from baton.stores.base import KeyRecord, Missing, RequestRecord
from baton.stores.contents import Content, Kept
from baton.stores.sums import DAY_US
from baton.web.admin import stored
from baton.web.admin_keys import reach
from baton.web.operation import Access, Nothing, Operation, Visit

Absence = Literal["off", "over", "absent"]
WHY = {
    "off": "its key keeps no content",
    "over": "it was kept for {days} days, and they are over",
    "absent": "its key kept none then, or it is not written yet, or it gave way to others",
}
"""Why nothing is kept of a request."""


class CompletionText(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one choice, as its caller got it."""

    index: int
    text: str


class ContentView(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and answered, as far as it is kept."""

    request_id: str
    key_id: str
    created_us: int
    kept_until_us: int
    prompts: list[Prompt]
    """Texts or token ids, as they were sent; of one prompt a list, too."""
    suffix: str | None
    completions: list[CompletionText]
    """As far as they came; choices without text are left out."""
    cut_at_bytes: int | None
    """The limit that something of it was cut at; null: it is whole."""


async def get_content(visit: Visit[Nothing, Nothing]) -> ContentView:
    record, key = await administered(visit, visit.part("request_id"))
    kept, found = await read(visit, record, key)
    return ContentView(
        request_id=record.request_id,
        key_id=key.id,
        created_us=record.created_us,
        kept_until_us=kept.until_us,
        prompts=found.prompts,
        suffix=found.suffix,
        completions=[
            CompletionText(index=index, text=text) for index, text in found.completions.items()
        ],
        cut_at_bytes=found.cut_at_bytes,
    )


async def read(
    visit: Visit[Any, Any], record: RequestRecord, key: KeyRecord
) -> tuple[Kept, Content]:
    """The content, and an entry in the audit log. RequestError (404) says why there is none."""
    services = visit.services
    now_us = services.clock_us()

    def reading() -> tuple[Kept, Content] | None:
        try:
            return services.contents.read(record.request_id, key.id, visit.actor, now_us)
        except Missing:
            return None

    found = await stored(reading)
    if found is None:
        why = WHY[absence(key, record, now_us)].format(days=key.keep_content_days)
        message = f"Not found: nothing is kept of this request: {why}."
        raise RequestError(404, message, code="not_found")
    return found


async def administered(visit: Visit[Any, Any], request_id: str) -> tuple[RequestRecord, KeyRecord]:
    """A request and its key, where the visitor may administer that. RequestError (404) for what is
    somebody else's as for what there is not."""
    services, owners = visit.services, await reach(visit)

    def found() -> tuple[RequestRecord, KeyRecord]:
        record = services.ledger.request(request_id)
        try:
            return record, services.keys.get(record.key_id, owners)
        except Missing:
            raise Missing(f"there is no request {request_id!r}") from None

    return await stored(found)


def absence(key: KeyRecord, record: RequestRecord, now_us: int) -> Absence:
    """Why nothing is kept of that request, where nothing is."""
    if not key.keep_content_days:
        return "off"
    return "over" if record.created_us + key.keep_content_days * DAY_US <= now_us else "absent"


OPERATIONS = (
    Operation(
        id="admingetcontent",
        tag="admin",
        method="GET",
        path="/admin/v1/requests/{request_id}/content",
        access=Access.TEAM,
        run=get_content,
        answer=ContentView,
        errors=(400, 404),
    ),
)
