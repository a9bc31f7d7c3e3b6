"""A page of the guide: Markdown in, HTML that fits our pages out.

Raw HTML in the Markdown is shown as text. Every code block can be copied, every wide table scrolls
by itself, every heading has an anchor. Links are written so that they work in the repository, too:
`keys.md#limits` leads to the neighbour, `/docs/…` to a page that only the server has. Whatever
leads elsewhere is refused: the pages must be whole in a network of one's own.
"""

import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml as escaped
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from baton.web.guide import PageError

TITLE_TOKENS = 3
"""Opening, words, closing."""
PASSAGE_CHARS_MAX = 1_500
"""Of one passage in the index of the search: its beginning is enough to be found by."""
EXAMPLE_ADDRESS = "http://127.0.0.1:8080"
_EXAMPLE = re.compile(re.escape(EXAMPLE_ADDRESS) + r"(?=(/admin/|/console|/metrics)?)")
NAMES = {
    "sh": "Shell",
    "python": "Python",
    "js": "Node.js",
    "json": "JSON",
    "yaml": "YAML",
    "toml": "TOML",
    "lua": "Lua",
    "vim": "Vim script",
    "go": "Go",
    "java": "Java",
    "rust": "Rust",
    "ini": "INI",
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "caddy": "Caddyfile",
    "text": "",
    "http": "HTTP",
}
"""What stands above a block of code; a language that is not here is a mistake in the page."""

Link = Callable[[str], str]
Environment = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Labels:
    """What a page is completed with: words in its language, and where this server is."""

    copy: str
    copied: str
    copy_failed: str
    table: str
    anchor: str
    address: str
    """Stands in code where the pages have EXAMPLE_ADDRESS."""
    admin_address: str | None
    """Likewise before what is for operators; None leaves it."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A place in a page. `level` as in HTML."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """What stands below one heading, as plain text: what the search looks into."""

    heading: Heading
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    html: str
    """Without the title, which the template shows."""
    passages: tuple[Passage, ...]

    @property
    def headings(self) -> tuple[Heading, ...]:
        return tuple(passage.heading for passage in self.passages)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, the words after it, and the lines. `line` counts from 1."""

    language: str
    words: tuple[str, ...]
    code: str
    line: int


def parser() -> MarkdownIt:
    """CommonMark with tables; raw HTML is text."""
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def blocks(text: str) -> list[Block]:
    """All blocks of code of a page, top to bottom."""
    found = []
    for token in parser().parse(text):
        if token.type == "fence":
            language, *words = token.info.split() or [""]
            assert token.map is not None, "a block knows where it stands"
            found.append(Block(language, tuple(words), token.content, token.map[0] + 1))
    return found


def title_of(text: str) -> str:
    """The first heading. PageError where a page does not begin with one."""
    first = text.partition("\n")[0]
    if not first.startswith("# "):
        raise PageError("a page begins with its title: '# …'")
    return first[2:].strip()


def render(text: str, link: Link, labels: Labels) -> Rendered:
    """`link` gives the address of what a page links to; it raises PageError for what is nowhere."""
    title_of(text)
    markdown = parser()
    tokens = markdown.parse(text)
    passages = _passages(tokens)
    for token in _all(tokens):
        if token.type == "link_open":
            token.attrSet("href", link(str(token.attrGet("href"))))
        if token.type == "image":
            raise PageError("the guide has no images")
    html = _Renderer(labels).render(tokens[TITLE_TOKENS:], markdown.options, {})
    return Rendered(html, tuple(passages))


def slug(text: str, taken: Sequence[str] = ()) -> str:
    """An anchor as the repository's own view makes it: letters and digits of any script, hyphens.

    >>> slug("`n`, best_of & Co."), slug("限额 与 预算"), slug("a", ["a"])
    ('n-best_of--co', '限额-与-预算', 'a-1')
    """
    kept = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
    found, number = kept, 0
    while found in taken:
        number += 1
        found = f"{kept}-{number}"
    return found


def _all(tokens: Sequence[Token]) -> list[Token]:
    return [each for token in tokens for each in (token, *(token.children or ()))]


def _passages(tokens: Sequence[Token]) -> list[Passage]:
    """Headings with what is below each; gives every heading its anchor on the way."""
    found: list[tuple[Heading, list[str]]] = []
    taken: list[str] = []
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            text = _plain(tokens[number + 1])
            taken.append(slug(text, taken))
            token.attrSet("id", taken[-1])
            found.append((Heading(int(token.tag[1]), taken[-1], text), []))
        elif token.type == "fence" or (token.type == "inline" and not _of_heading(tokens, number)):
            found[-1][1].append(token.content if token.type == "fence" else _plain(token))
    return [
        Passage(heading, " ".join(" ".join(parts).split())[:PASSAGE_CHARS_MAX])
        for heading, parts in found
    ]


def _of_heading(tokens: Sequence[Token], number: int) -> bool:
    return tokens[number - 1].type == "heading_open"


def _plain(inline: Token) -> str:
    """The words of a line, without its marks."""
    shown = ("text", "code_inline")
    return "".join(
        each.content if each.type in shown else " " if each.type == "softbreak" else ""
        for each in inline.children or ()
    )


def placed(code: str, address: str, admin_address: str | None) -> str:
    """An example with the addresses of this server."""
    own = {True: admin_address or EXAMPLE_ADDRESS, False: address}
    return _EXAMPLE.sub(lambda found: own[found[1] is not None], code)


class _Renderer(RendererHTML):
    """markdown-it's own, but for headings, code and tables."""

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self._labels = labels

    def fence(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment
    ) -> str:
        language = (tokens[idx].info.split() or ["text"])[0]
        if language not in NAMES:
            raise PageError(f"a block of code in {language!r}: not among NAMES")
        labels = self._labels
        code = placed(tokens[idx].content, labels.address, labels.admin_address)
        return (
            f'<figure class="code"><figcaption>{NAMES[language]} '
            f'<button type="button" data-copy="{escaped(labels.copied)}" '
            f'data-failed="{escaped(labels.copy_failed)}" hidden>{escaped(labels.copy)}</button>'
            f'</figcaption><pre tabindex="0"><code>{escaped(code)}</code></pre>'
            "</figure>\n"
        )

    def heading_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment
    ) -> str:
        opened = next(each for each in reversed(tokens[:idx]) if each.type == "heading_open")
        tag, anchor = opened.tag, opened.attrGet("id")
        label = escaped(f"{self._labels.anchor}: {anchor}")
        return f' <a class="anchor" href="#{anchor}" aria-label="{label}">#</a></{tag}>\n'

    def table_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment
    ) -> str:
        label = escaped(self._labels.table)
        return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">\n<table>\n'

    def table_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Environment
    ) -> str:
        return "</table>\n</div>\n"
