"""Write docs/reference/capabilities.md from the code; with --check, fail where it is old."""

import pathlib
import sys

from baton.routing.matrix import engine_markdown, markdown, remedies
from baton.upstreams import registry

PAGE = pathlib.Path(__file__).parent.parent / "docs/reference/capabilities.md"
HEAD = """\
# What each dialect does natively, and what Baton fills

Made by `python scripts/matrix.py` from the capability tables of the dialects and the planner; a
test keeps it current and sends every cell to a server that speaks the dialect's wire.

- **native**: sent on as it is.
- **filled**: Baton does it (`baton/fills`), told in `x-baton-fills`; a strict request gets a 400.
- **refused**: a 400 that names the field, with the words below.

Prompt and suffix of a server that only chats are *filled*: they are put as a conversation that asks
for what is missing, told as `continuation`, and the answer is cleaned. Elsewhere a suffix that is
refused here is filled where the operator or the model's name tells the family's fill-in-the-middle
template, on servers that take marks as text.
Usage that a server does not report, or reports as nonsense, is counted by Baton and marked as
estimated on the ledger.

"""
ENGINES = """
## Fields of one engine

Outside OpenAI's contract. *Where listed*: forwarded, by its type and within its range, to upstreams
whose configuration lists it (`baton upstream add --field top_k`); of several upstreams those are
asked that take most of what the request names. *Ignored*: not forwarded, and told in
`x-baton-ignored`; a strict request gets a 400. Dialects that are not here forward none. A stream
with such a field is not handed to another upstream when its own dies.

"""
REFUSALS = "\n## What the refusals say\n\n"


def page() -> str:
    tables = registry.capabilities()
    fields = markdown(tables) + REFUSALS + remedies(tables)
    return HEAD + fields + ENGINES + engine_markdown(tables)


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/reference/capabilities.md is not current: run python scripts/matrix.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
