"""A long prompt, kept as its caller wrote it, so that it need not be written anew.

Escaping a text for JSON costs as much as reading it: of a megabyte half a millisecond. What the
decoder has read is well-formed JSON and UTF-8, so the same bytes can go into an upstream's body as
they came: the text is the same, whichever way its characters are escaped.

Theory of operation. Which bytes of the body are the prompt? Mostly nothing is read twice to find
out: its first quote stands behind the body's only `"prompt"`, its last one is the next that no
backslash escapes, and what looks for quotes looks at 16 bytes or more at once. Where a body is not
so simple (the name is there twice, or written with escapes, or far down; the text is full of
quotes) a second pass of the decoder tells, which skips the text instead of making one: half of what
it costs to escape it.
"""

import re

import msgspec
from msgspec import Raw

LONG_BYTES = 16 * 1024
"""Bodies below it are not worth the search."""
AROUND_BYTES_MAX = 4096
"""How much of a body is looked at before the prompt and behind it."""
QUOTES_MAX = 16
"""Escaped quotes that are stepped over in search of the last one; stepping over more is dearer than
the second pass."""
BACKSLASH = ord("\\")
_NAME = re.compile(rb'"prompt"[ \t\r\n]*:[ \t\r\n]*"')


class _Body(msgspec.Struct):
    """A body of which only the prompt is wanted."""

    prompt: Raw


_BODY = msgspec.json.Decoder(_Body)


class LongPrompt(list[str | list[int]]):
    """The prompts of a request that has one: a text, and the JSON string that it was read from.

    A list like any other for who knows nothing of it."""

    __slots__ = ("json",)

    def __init__(self, text: str, json: Raw) -> None:
        super().__init__((text,))
        self.json = json


def prompts(prompt: str | list[int], body: bytes) -> list[str | list[int]]:
    """The prompt of a body, with its JSON where it is a text and long; as for `written`."""
    json = None if len(body) < LONG_BYTES else written(prompt, body)
    return [prompt] if json is None or isinstance(prompt, list) else LongPrompt(prompt, Raw(json))


def written(prompt: str | list[int], body: bytes) -> memoryview | None:
    """The JSON of a text in a body that was read whole, was found right, and holds nothing unknown;
    None of ids, which are written anew as fast.

    In such a body a name that ends in `prompt"` is the prompt's: only escapes could write it in
    another way."""
    if isinstance(prompt, list):
        return None
    begin, end = _place(body)
    if end:
        return memoryview(body)[begin:end]
    return memoryview(_BODY.decode(body).prompt)


def _place(body: bytes) -> tuple[int, int]:
    """From which quote to behind which one; two zeros where that is not seen at a glance."""
    found = _NAME.search(body, 0, AROUND_BYTES_MAX)
    if found is None or b"\\u" in body[: found.start()]:
        return 0, 0
    begin = found.end()
    end = _end(body, begin)
    if not end or len(body) - end > AROUND_BYTES_MAX:
        return 0, 0
    rest = body[end:]
    if b'"prompt"' in rest or b"\\u" in rest:
        return 0, 0  # the prompt may be there a second time, and the last one counts
    return begin - 1, end


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
