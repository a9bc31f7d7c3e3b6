"""How many files this process may have open, and how many callers that is enough for.

Each caller is a file, and so is its call to an upstream. The limit that a shell gives (1,024) is a
relic that every process may raise to the one that the system set. Where that is not enough either,
fewer callers are let in: without files left, no journal could be written and no upstream reached,
so that everybody would be refused.
"""

import contextlib
import resource

OWN = 64
"""For the journal, the book, numbers and the processes beside it: about 25 are open at rest."""
EACH = 2
"""A caller's connection, and that of its call."""


def enough_for(connections: int) -> int:
    """Raise the limit, if need be and as far as it goes, for so many callers; for how many of them
    it is enough now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OWN + EACH * connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, (soft - OWN) // EACH))
