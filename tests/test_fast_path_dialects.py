"""Every dialect of completions, as its servers answer: the same on the fast path as in the room."""

import pathlib
from typing import Any

from baton.stores.base import UpstreamRecord
from baton.upstreams.registry import BUILT_IN
from tests.asking import Answer
from tests.fakes.fake_completions import DIALECTS, FakeCompletions
from tests.flying import Sky
from tests.relaying import THEIRS
from tests.test_fast_path import told

REQUESTS: list[dict[str, Any]] = [
    {},
    {"temperature": 0, "stop": ["."], "max_tokens": 40},
    {"temperature": 1.5, "top_p": 0.5, "prompt": "Ünï", "stop": ["", "a"]},
    {"prompt": "ä" * 3000},
    {"prompt": list(range(100, 120))},
]
NO_IDS = {name for name in DIALECTS if not BUILT_IN[name].adapter().capabilities.token_prompts}
"""Who takes text alone: to them, ids are the room's."""
ROOMS = {"llama-server", "together", "fireworks"}
"""Whose plain answers are another shape, or whose usage is not exact: they are the room's."""


def test_dialects(tmp_path: pathlib.Path) -> None:
    """What each is asked, and what its answer becomes."""
    asked: dict[bool, dict[str, list[Any]]] = {True: {}, False: {}}
    flown: dict[str, int] = {}

    def scenario(sky: Sky, *, fast: bool) -> list[Answer]:
        relay, found, fakes = sky.relay, [], {}
        for name in DIALECTS:
            fake = fakes[name] = FakeCompletions(name)
            relay.run(fake.start())
            record = UpstreamRecord(name=name, url=fake.url, dialect=name, models={name: THEIRS})
            relay.store.upstreams.add(record, "test")
        relay.run(relay.worker.refresh())
        for name, fake in fakes.items():
            with sky.kept() as caller:
                caller.complete(model=name)
                before = sky.course.flown
                found += [caller.complete(model=name, **fields) for fields in REQUESTS]
                flown[name] = flown.get(name, 0) + sky.course.flown - before
            heads = [{**head, "host": ""} for head in fake.heads]
            asked[fast][name] = list(zip(heads, fake.seen, strict=True))
            relay.run(fake.stop())
        return found

    fast = told(tmp_path / "fast", lambda sky: scenario(sky, fast=True), fast=True)
    assert {
        name: (len(REQUESTS) - (name in NO_IDS)) * (name not in ROOMS) for name in DIALECTS
    } == flown
    room = told(tmp_path / "room", lambda sky: scenario(sky, fast=False), fast=False)
    assert asked[False] == asked[True]
    assert room.answers == fast.answers
    assert {200, 400} == {status for status, _, _ in fast.answers}  # ids where none are taken
    assert (room.rows, room.lines) == (fast.rows, fast.lines)
