"""What the page of a request says of its content: whether it is kept, why not, and, once asked for,
as much of it as a page can bear.
"""

import itertools
from collections.abc import Iterator
from typing import Literal

import msgspec

from baton.stores.base import KeyRecord, RequestRecord
from baton.stores.contents import Content
from baton.web.admin import stored
from baton.web.admin_contents import Absence, absence
from baton.web.admin_keys import reach
from baton.web.console.call import Call
from baton.web.operation import Access

CHARACTERS_MAX = 40_000
"""Of all texts that a page shows of what was asked, and again of what was answered."""
TEXTS_MAX = 50
"""Likewise."""


class Text(msgspec.Struct, frozen=True):
    """One text, or the beginning of it."""

    kind: Literal["prompt", "suffix", "completion"]
    index: int | None
    """None where there is but one of its kind."""
    text: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A content on a page."""

    texts: list[Text]
    answered: bool
    """Whether there is any completion."""
    cut_at_bytes: int | None
    more: bool
    """Whether there is more than a page shows."""


class KeptContent(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of it without reading it."""

    state: Absence | Literal["others"]
    """Why it is not here; `others`: it is there for others."""
    allowed: bool = False
    until_us: int | None = None
    """None: nothing is kept."""
    bytes: int = 0
    shown: Shown | None = None


async def kept(call: Call, record: RequestRecord, key: KeyRecord) -> KeptContent:
    """Whether the content of that request of that key is kept, and whether the visitor may read
    it."""
    now_us = call.services.clock_us()
    found = await stored(call.services.contents.about, record.request_id, key.id, now_us)
    if found is None:
        return KeptContent(state=absence(key, record, now_us))
    return KeptContent(
        state="others",
        allowed=await _allowed(call, key),
        until_us=found.until_us,
        bytes=found.bytes,
    )


async def _allowed(call: Call, key: KeyRecord) -> bool:
    if not call.may(Access.TEAM):
        return False
    owners = await reach(call.visit())
    return owners is None or key.owner in owners


def shown(content: Content) -> Shown:
    """The beginning of it: so many texts, and characters of them all, of each side. Pure."""
    asked, answered = _first(_asked(content)), _first(_answered(content))
    texts = [text for text, _ in (*asked, *answered)]
    whole = len(texts) == _count(content) and not any(cut for _, cut in (*asked, *answered))
    return Shown(
        texts=texts,
        answered=bool(content.completions),
        cut_at_bytes=content.cut_at_bytes,
        more=not whole,
    )


def _count(content: Content) -> int:
    """How many texts there are."""
    return len(content.prompts) + (content.suffix is not None) + len(content.completions)


def _first(texts: Iterator[Text]) -> list[tuple[Text, bool]]:
    """Those that there is place for, and whether each is cut."""
    found: list[tuple[Text, bool]] = []
    left = CHARACTERS_MAX
    for one in itertools.islice(texts, TEXTS_MAX):
        if not left:
            break
        found.append((Text(one.kind, one.index, one.text[:left]), len(one.text) > left))
        left -= min(left, len(one.text))
    return found


def _asked(content: Content) -> Iterator[Text]:
    several = len(content.prompts) > 1
    for number, prompt in enumerate(content.prompts):
        text = prompt if isinstance(prompt, str) else str(prompt)
        yield Text("prompt", number if several else None, text)
    if content.suffix is not None:
        yield Text("suffix", None, content.suffix)


def _answered(content: Content) -> Iterator[Text]:
    many = content.completions.keys() != {0}
    for index, text in content.completions.items():
        yield Text("completion", index if many else None, text)
