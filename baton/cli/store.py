"""`baton store`: what is done with the store as a whole."""

import contextlib
import datetime
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from baton import config
from baton.cli.main import CommandError
from baton.cli.money import usd
from baton.cli.opened import ACTOR, opened
from baton.cli.output import AsJson, print_fields
from baton.ledger.audit import journals
from baton.ledger.slots import unused
from baton.running import running
from baton.stores import audit, glance, migrate, rekey, schema
from baton.stores.archive import archive
from baton.stores.book import book_path, book_place, journal_folder
from baton.stores.copy import PATIENT, copy_book
from baton.stores.database import Database, Place, name, place
from baton.stores.master import FILE_NAME, master_key, parse_master_key

app = typer.Typer()


@app.callback()
def about() -> None:
    """What is done with the store as a whole."""


@app.command("prune")
def prune(
    before: Annotated[
        str, typer.Option(help="Requests of days before this one, YYYY-MM-DD (UTC).")
    ],
    file: Annotated[
        pathlib.Path, typer.Option("--archive", help="A new file: gzip, a JSON object a line.")
    ],
    as_json: AsJson = False,
) -> None:
    """Move old requests out of the store into a file, while Baton runs.

    Balances, entries and all sums stay as they are; only the single requests are gone, what was
    kept of their prompts and answers, and the balances of windows (a day, a week, a month) that
    were over by then. Contents that were kept for long enough go as well, of whatever day.
    """
    try:
        day = datetime.date.fromisoformat(before)
    except ValueError:
        raise CommandError(f"'{before}' is no day: write YYYY-MM-DD") from None
    with opened() as store:
        done = archive(store.database, day, datetime.datetime.now(datetime.UTC).date(), file)
        contents = done.contents + store.contents.prune(time.time_ns() // 1000)
    told = {"requests": done.requests, "charge": usd(done.charge_nano), "archive": done.file}
    print_fields({**told, "windows": done.windows, "contents": contents}, as_json)


@app.command("migrate")
def migrate_store(
    to: Annotated[
        str | None, typer.Option("--to", help="A schema, such as 0010, also an earlier one.")
    ] = None,
    agreed: Annotated[
        bool, typer.Option("--yes", help="Drop what an earlier schema has no place for.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the book up to this Baton's schema. Starting Baton does the same.

    With --to it goes to that schema, also back to that of an older Baton; stop Baton first,
    everywhere, and start the older one then: commands of this one bring the book up again. What is
    dropped on the way back is told; nothing that money or rights hang on ever is.
    """
    if agreed and to is None:
        raise CommandError("--yes goes with --to")
    settings = config.load()
    glance.refuse_earlier(journal_folder(settings.home_path))
    book = book_place(settings)
    before = migrate.revision(book)
    told: dict[str, object] = {}
    if to is None:
        migrate.bring_up(book)
    else:
        with _stopped(settings.home_path):
            if before is not None and to < before and schema.TENURES <= before <= migrate.HEAD:
                _refuse_unfolded(book, settings.home_path)
            told["dropped"] = schema.go(book, to, agreed=agreed)
    after = migrate.revision(book)
    print_fields({"book": name(book), "before": before or "", "after": after, **told}, as_json)


def _refuse_unfolded(book: Place, home: pathlib.Path) -> None:
    """CommandError for what only a journal has: another Baton may not be able to read it."""
    with contextlib.closing(Database(book)) as database:
        waiting, unreadable = journals(database, home)
    if waiting or unreadable:
        what = "; ".join(unreadable) or f"{waiting} requests are in journals only"
        raise CommandError(f"{what}: start Baton and stop it, so that they come into the book")


@app.command("copy")
def copy_store(
    to: Annotated[str, typer.Option("--to", help="postgresql://…, empty; or sqlite for a file.")],
    source: Annotated[
        str, typer.Option("--from", help="sqlite (the book in BATON_HOME), or postgresql://…")
    ] = "sqlite",
    as_json: AsJson = False,
) -> None:
    """Copy the whole book into an empty database and check what arrived. Stop Baton first.

    Journals in BATON_HOME stay: set BATON_DATABASE_URL to the new place and start Baton again.
    """
    settings = config.load()
    file = book_path(settings.home_path)
    given = {"--from": source, "--to": to}
    origin, target = (
        place("" if each == "sqlite" else each, file, option) for option, each in given.items()
    )
    with _stopped(settings.home_path):
        counts = copy_book(origin, target)
    if found := audit.faults(target):
        raise CommandError(f"{name(target)} is not right: {'; '.join(found)}")
    rows = {table: count for table, count in counts.items() if count}
    print_fields({"from": name(origin), "to": name(target), "rows": rows}, as_json)


@app.command("rekey")
def rekey_store(
    variable: Annotated[
        str | None,
        typer.Option(
            "--key-variable",
            help="Variable that holds the new key, needed where BATON_MASTER_KEY is set.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change the master key: seal all in the book under a new one. Stop Baton first, everywhere.

    Where the key is BATON_HOME/master.key, that file has the new one afterwards, a random one
    without --key-variable. If it breaks off, run it again. Sessions of the console end, and answers
    kept under an Idempotency-Key are forgotten.
    """
    settings = config.load()
    home, book, in_file = settings.home_path, book_place(settings), not settings.master_key
    if variable is None and not in_file:
        raise CommandError("BATON_MASTER_KEY is set: --key-variable names what has the new key")
    given = None if variable is None else parse_master_key(os.environ.get(variable, ""), variable)
    if migrate.revision(book) != migrate.HEAD:
        raise CommandError(f"{name(book)} is no book of this Baton's schema: baton store migrate")
    database = Database(book, limits=PATIENT)
    with _stopped(home), contextlib.closing(database):
        before = master_key(settings.master_key, home)
        if given == before:
            raise CommandError("that is the present master key already")
        after = rekey.begin(home, given) if given is None or in_file else given
        done = rekey.reseal(database, before, after, ACTOR)
        if in_file:
            rekey.finish(home)
    place_of_key = str(home / FILE_NAME) if in_file else f"set BATON_MASTER_KEY to ${variable}"
    print_fields({"key": place_of_key, **msgspec.structs.asdict(done)}, as_json)


@contextlib.contextmanager
def _stopped(home: pathlib.Path) -> Iterator[None]:
    """While the block runs no Baton of this home has a journal. CommandError, StoreError where one
    runs."""
    if running(home) is not None:
        raise CommandError(f"Baton runs on {home}: stop it first")
    with unused(journal_folder(home)):
        yield
