"""What the console's pages are made of, prepared once per worker: texts, templates, files."""

import pathlib

import jinja2

from baton.ledger.currency import Currency
from baton.web.console import figures
from baton.web.console.plain import finalize, whole
from baton.web.services import Services
from baton.web.site import StaticFile, static_file
from baton.web.texts import Language, Texts, load

HERE = pathlib.Path(__file__).parent
SHARED = ("icon.svg", "sse.js")
"""Files of the documents that the console uses too."""


class Room:
    """Everything that does not change while a worker runs.

    Whoever adds a page adds its words as a file in texts/, its template and its files beside."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self.currency = Currency(settings.currency, settings.currency_micro_per_usd)
        self.texts: dict[Language, Texts] = load(*sorted((HERE / "texts").glob("*.json")))
        self.static = static_files()
        self.live = 0
        """Pages that numbers are pushed to at this moment."""
        self.pulse: tuple[int, object] | None = None
        """What they were told last (live.py), and in which second."""
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            finalize=finalize,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for name in (
            "count",
            "short",
            "percent",
            "duration",
            "moment",
            "stamp",
            "day",
            "usd",
            "per_million",
        ):
            self.templates.filters[name] = getattr(figures, name)
        self.templates.filters["whole"] = whole
        self.templates.filters["money"] = lambda nano: figures.money(nano, self.currency)


def static_files() -> dict[str, StaticFile]:
    """Every file that pages use, by its path below static/."""
    own = {
        path.relative_to(HERE / "static").as_posix(): static_file(path)
        for path in (HERE / "static").rglob("*.*")
    }
    return own | {name: static_file(HERE.parent / "static" / name) for name in SHARED}
