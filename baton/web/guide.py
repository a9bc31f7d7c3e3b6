"""The guide: the Markdown pages of docs/guide, in reading order, in both languages.

The files are read once at start and rendered when somebody first asks (a worker that never shows a
page does not load the renderer). `docs` beside this file leads to docs/guide in a checkout and is a
folder of the package where it is installed: there is one source.
"""

import functools
import importlib
import pathlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from baton.web.texts import LANGUAGES, Language, Texts

if TYPE_CHECKING:
    from baton.web.markdown import Rendered

FOLDER = pathlib.Path(__file__).with_name("docs")
CONTENTS = "contents.toml"
SERVED = {"../../reference/capabilities.md": "/docs/capabilities"}
"""Files of the repository that are pages of the server: links lead there in both."""


class PageError(Exception):
    """A page that cannot be shown as it is written; the message says what is wrong in it."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pages that belong together. `name` is a key of texts: `guide.name`."""

    name: str
    pages: tuple[str, ...]


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    section: tuple[Section, ...]


class Entry(msgspec.Struct, frozen=True):
    """One passage in the index of the search. Addresses are relative to /docs/."""

    page: str
    at: str
    title: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page, as the template shows it."""

    name: str
    title: str
    section: str
    rendered: "Rendered"
    previous: Neighbour | None
    next: Neighbour | None


class Guide:
    """All pages. `texts` are the words around them, by language; `address` is what callers type,
    `admin_address` what operators do (None: not told)."""

    def __init__(
        self,
        contents: Contents,
        files: Mapping[tuple[Language, str], str],
        texts: Mapping[Language, Texts],
        address: str,
        admin_address: str | None,
    ) -> None:
        self.sections = contents.section
        self.names = tuple(name for section in self.sections for name in section.pages)
        self._files, self._texts = files, texts
        self._address, self._admin_address = address, admin_address
        self._titles = {
            place: text.partition("\n")[0].removeprefix("# ") for place, text in files.items()
        }
        self.page = functools.cache(self._page)
        self.index = functools.cache(self._index)

    def titles(self, language: Language) -> dict[str, list[Neighbour]]:
        """The pages of each section, by its name."""
        return {
            section.name: [self._named(language, name) for name in section.pages]
            for section in self.sections
        }

    def _page(self, language: Language, name: str) -> Page | None:
        """None where there is no such page. PageError where it is not written well: our bug."""
        if name not in self.names:
            return None
        at = self.names.index(name)
        return Page(
            name=name,
            title=self._named(language, name).title,
            section=next(each.name for each in self.sections if name in each.pages),
            rendered=self._render(language, name),
            previous=self._named(language, self.names[at - 1]) if at else None,
            next=self._named(language, self.names[at + 1]) if at + 1 < len(self.names) else None,
        )

    def _index(self, language: Language) -> bytes:
        """Every passage of every page as JSON, for the search in the browser."""
        return msgspec.json.encode(list(self._entries(language)))

    def _entries(self, language: Language) -> Iterator[Entry]:
        for name in self.names:
            title = self._named(language, name).title
            for one in self._render(language, name).passages:
                heading = one.heading.text if one.heading.level > 1 else ""
                yield Entry(f"guide/{name}", one.heading.anchor, title, heading, one.text)

    def _render(self, language: Language, name: str) -> "Rendered":
        markdown = importlib.import_module("baton.web.markdown")
        texts = self._texts[language]
        labels = markdown.Labels(
            copy=texts["page.copy"],
            copied=texts["page.copied"],
            copy_failed=texts["page.copy_failed"],
            table=texts["guide.table"],
            anchor=texts["guide.anchor"],
            address=self._address,
            admin_address=self._admin_address,
        )
        rendered: Rendered = markdown.render(
            self._files[language, name], lambda href: self.link(language, href), labels
        )
        return rendered

    def link(self, language: Language, href: str) -> str:
        """The address of what a page links to, seen from that page. PageError for elsewhere."""
        target, _, anchor = href.partition("#")
        target = SERVED.get(target, target)
        if target.startswith("/docs"):
            path = "../.." + target
        elif target.removesuffix(".md") in self.names:
            path = target.removesuffix(".md")
        elif not target and anchor:
            return href
        else:
            raise PageError(f"a link to {href}, which is no page here")
        return f"{path}?lang={language}" + (f"#{anchor}" if anchor else "")

    def _named(self, language: Language, name: str) -> Neighbour:
        return Neighbour(name, self._titles[language, name])


def load(
    texts: Mapping[Language, Texts],
    address: str,
    admin_address: str | None,
    folder: pathlib.Path = FOLDER,
) -> Guide:
    """Reads all files. A page that is listed and not there is our bug: FileNotFoundError."""
    written = tomllib.loads((folder / CONTENTS).read_text(encoding="utf-8"))
    contents = msgspec.convert(written, Contents)
    files = {
        (language, name): (folder / language / f"{name}.md").read_text(encoding="utf-8")
        for language in LANGUAGES
        for section in contents.section
        for name in section.pages
    }
    return Guide(contents, files, texts, address, admin_address)
