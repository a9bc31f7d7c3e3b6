"""Headers that an operator adds to every request to an upstream. Their values may be secrets."""

import re
from collections.abc import Mapping

NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
VALUE = re.compile(r"[\x20-\x7e]{1,4096}")
HEADERS_MAX = 32
OURS = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What the transport says itself, and how the key travels."""


def check_headers(headers: Mapping[str, str]) -> None:
    """ValueError names the header that cannot be sent, never its value."""
    if len(headers) > HEADERS_MAX:
        raise ValueError(f"more than {HEADERS_MAX} headers")
    seen = set()
    for name, value in headers.items():
        folded = name.lower()
        if not NAME.fullmatch(name):
            raise ValueError(f"'{name[:64]}' is no name of a header")
        if folded in OURS or folded.startswith("proxy-"):
            raise ValueError(f"the header '{name}' is Baton's own; a key is given by itself")
        if folded in seen:
            raise ValueError(f"the header '{name}' is there twice")
        if not VALUE.fullmatch(value) or value != value.strip():
            raise ValueError(f"the value of the header '{name}' cannot be sent")
        seen.add(folded)
