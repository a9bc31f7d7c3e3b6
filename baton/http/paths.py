"""Which request targets are completions, and which are probes. Pure.

A target comes as a path or whole (`POST http://host/v1/completions`, RFC 9112, 3.2.2), and may
percent-encode what needs none (RFC 3986, 6.2.2.2): the same resource all the same.
"""

from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

import httptools


class Where(NamedTuple):
    """What a completion path says: the model that it fixes ("": none), and the shape of request and
    answer (`doors`; "": OpenAI's)."""

    model: str = ""
    door: str = ""


PLAIN = Where()
COMPLETION_PATHS = (b"/v1/completions", b"/v1/completions/")
PATHS = {
    b"/v1/completions": "",
    b"/v1/completions/": "",
    b"/v1/fim/completions": "fim",
    b"/infill": "infill",
}
"""Each also under /m/{model}."""
DOOR_PATHS = {door: path.decode() for path, door in PATHS.items() if not path.endswith(b"/")}

ALIVE_PATH, READY_PATHS = "/healthz", ("/readyz", "/health")
"""The last is where clients look that were made for vLLM, SGLang or llama-server."""
PROBE_PATHS = (ALIVE_PATH, *READY_PATHS)
"""Answered under any name: load balancers and Kubernetes ask by address."""


def completion_path(target: bytes) -> Where | None:
    """Where a completion is asked for; None when it is another path.

    Raises httptools.HttpParserInvalidURLError for a target that is none.

    >>> completion_path(b"/v1/completions"), completion_path(b"/m/a%2Fb/infill?x=1")
    (Where(model='', door=''), Where(model='a/b', door='infill'))
    """
    if target in COMPLETION_PATHS:
        return PLAIN
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        path = httptools.parse_url(target).path or b""
    door = PATHS.get(unquote_to_bytes(path))
    if door is not None:
        return Where("", door)
    if path.startswith(b"/m/"):
        for suffix, door in PATHS.items():
            if path.endswith(suffix) and len(path) > len(suffix) + 3:
                return Where(unquote(path[3 : -len(suffix)].decode("latin-1")), door)
    return None


def path_to(where: Where) -> str:
    """The path on which that is asked for, as people write it.

    >>> path_to(Where()), path_to(Where("a/b", "infill"))
    ('/v1/completions', '/m/a/b/infill')
    """
    return (f"/m/{where.model}" if where.model else "") + DOOR_PATHS[where.door]
