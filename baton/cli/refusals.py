"""`baton refusals`: which requests were refused, and what their callers were told."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from baton.cli.main import CommandError
from baton.cli.opened import one_key, opened
from baton.cli.output import AsJson, print_fields, print_rows, when
from baton.stores.base import Missing
from baton.stores.refusals import RefusalFilter, RefusalRecord

COLUMNS = {
    "at": "At",
    "status": "Status",
    "code": "Code",
    "times": "Times",
    "key": "Key",
    "model": "Model",
    "route": "Path",
    "request_id": "Request",
    "message": "What the caller was told",
}


def run(
    request: Annotated[
        str | None, typer.Argument(help="Only this one, by the id that its caller has.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only this key (id or name).")] = None,
    status: Annotated[
        int | None, typer.Option(min=100, max=599, help="Only this HTTP status.")
    ] = None,
    code: Annotated[str | None, typer.Option(help="Only this error code.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many, the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Requests that were refused, the newest first, and what their callers were told.

    They are on no ledger. Not each is kept: of those that are alike (key, status and code) within a
    minute the first ten have a line each, all others one together, which says how many (Times).
    """
    with opened() as store:
        names = {each.id: each.name for each in store.keys.all()}
        if request is not None:
            try:
                return print_fields(_row(store.refusals.get(request), names), as_json)
            except Missing as error:
                raise CommandError(f"{error}: it was not refused, or is not kept") from None
        keys = None if key is None else (one_key(store, key).id,)
        found = store.refusals.page(RefusalFilter(key_ids=keys, status=status, code=code), limit)
    return print_rows([_row(each, names) for each in found], COLUMNS, as_json)


def _row(found: RefusalRecord, names: Mapping[str, str]) -> dict[str, object]:
    fields = msgspec.structs.asdict(found)
    named = {"at": when(found.at_us), "key": names.get(found.key_id, found.key_id)}
    del fields["id"]
    return {**named, **fields}
