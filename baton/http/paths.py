"""Which request targets are completions. Pure.

A target comes as a path or whole (`POST http://host/v1/completions`, RFC 9112, 3.2.2), and may
percent-encode what needs none (RFC 3986, 6.2.2.2): the same resource all the same.
"""

from urllib.parse import unquote, unquote_to_bytes

import httptools

COMPLETION_PATHS = (b"/v1/completions", b"/v1/completions/")


def completion_path(target: bytes) -> str | None:
    """The model that a completion path fixes: "" when none; None when it is another path.

    Raises httptools.HttpParserInvalidURLError for a target that is none.

    >>> completion_path(b"/v1/completions"), completion_path(b"/m/a%2Fb/v1/completions?x=1")
    ('', 'a/b')
    """
    if target in COMPLETION_PATHS:
        return ""
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        path = httptools.parse_url(target).path or b""
    if unquote_to_bytes(path) in COMPLETION_PATHS:
        return ""
    if path.startswith(b"/m/"):
        for suffix in COMPLETION_PATHS:
            if path.endswith(suffix) and len(path) > len(suffix) + 3:
                return unquote(path[3 : -len(suffix)].decode("latin-1"))
    return None
