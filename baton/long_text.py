"""A long prompt, kept as its caller wrote it, so that it need not be written anew.

Escaping a text for JSON costs as much as reading it: of a megabyte half a millisecond. What the
decoder has read is well-formed JSON and UTF-8, so the same bytes can go into an upstream's body as
they came: the text is the same, whichever way its characters are escaped.

Theory of operation. Which bytes of the body are the prompt? Nothing is read twice to find out: its
first quote stands behind the body's only `"prompt"`, its last one is the next that no backslash
escapes, and what looks for quotes looks at 16 bytes or more at once. Where a body is not so simple
(the name is there twice, or written with escapes, or far down; the text is full of quotes) nothing
is kept, and the text is escaped as any other.
"""

import re

from msgspec import Raw

LONG_BYTES = 16 * 1024
"""Bodies below it are not worth the search."""
AROUND_BYTES_MAX = 4096
"""How much of a body is looked at before the prompt and behind it."""
QUOTES_MAX = 256
"""Escaped quotes that are stepped over in search of the last one."""
BACKSLASH = ord("\\")
_NAME = re.compile(rb'"prompt"[ \t\r\n]*:[ \t\r\n]*"')


class LongPrompt(list[str | list[int]]):
    """The prompts of a request that has one: a text, and the JSON string that it was read from.

    A list like any other for who knows nothing of it."""

    __slots__ = ("json",)

    def __init__(self, text: str, json: Raw) -> None:
        super().__init__((text,))
        self.json = json


def prompts(text: str, body: bytes) -> list[str | list[int]]:
    """The prompt `text` of a body that holds nothing unknown, with its JSON where that is found.

    In such a body a name that ends in `prompt"` is the prompt's: only escapes could write it in
    another way."""
    found = _NAME.search(body, 0, AROUND_BYTES_MAX)
    if found is None or b"\\u" in body[: found.start()]:
        return [text]
    begin = found.end()
    end = _end(body, begin)
    if not end or len(body) - end > AROUND_BYTES_MAX:
        return [text]
    rest = body[end:]
    if b'"prompt"' in rest or b"\\u" in rest:
        return [text]  # the prompt may be there a second time, and the last one counts
    return LongPrompt(text, Raw(memoryview(body)[begin - 1 : end]))


def _end(body: bytes, begin: int) -> int:
    """Behind the quote that ends the string which begins there; 0 where that takes too long."""
    at = begin - 1
    for _ in range(QUOTES_MAX):
        at = body.find(b'"', at + 1)
        before = at
        while before > begin and body[before - 1] == BACKSLASH:
            before -= 1
        if (at - before) % 2 == 0:
            return at + 1
    return 0
