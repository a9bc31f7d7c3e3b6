"""Prompts before texts."""

import asyncio

from baton.fills.echoed import Echoed
from baton.fills.source import gather
from baton.semantics.echo import Echo
from baton.semantics.events import Delta, Usage
from tests.fakes.sources import Given


def test_each_choice_begins_with_its_prompt() -> None:
    """Whichever comes first; the counts are those of what was generated."""
    source = Given([Delta(1, "B")], [Delta(0, "A", "stop"), Delta(1, "", "stop")])
    echoed = Echoed(source, Echo(["one ", "two "], 1))
    found = asyncio.run(gather(echoed))
    assert ["two B", "one A"] == ["".join(d.text for d in found if d.index == i) for i in (1, 0)]
    assert (3, Usage(10, 3)) == (echoed.generated, echoed.usage)
    echoed.close()
    assert source.closed
