"""An upstream that does as its script says, and requests planned on it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from baton.answer import Answer
from baton.handing import Bounds
from baton.protocol import CompletionRequest, FillLimits
from baton.relay import Relay
from baton.routing.plan import Attempt, Plan
from baton.routing.work import NOTHING, worked
from baton.semantics.events import Call, Delta, Event
from baton.sites import Site
from baton.upstreams.base import Capabilities, Unwatched, UpstreamStream, Watch
from baton.upstreams.failures import failure

END = Delta(0, "", "stop")


Script = list[Sequence[Event] | Exception]
EXACT = Capabilities(exact_usage=True, token_ids=True)
ABLE = Capabilities(
    prompt_arrays=True, token_prompts=True, n=True, bounded=True, max_tokens_zero=True
)
"""What requests are planned for: an upstream that takes all of a request in one call."""


class Scripted:
    """An upstream that gives each call the next script: what its reads return or raise. An
    exception in a script's place refuses the call."""

    fingerprint: str | None = None

    def __init__(self, *scripts: Script | Exception, native: Capabilities = EXACT) -> None:
        self.name, self.capabilities, self.scripts = "scripted", native, list(scripts)
        self.prompt_tokens: int | None = None
        self.watch: Watch = Unwatched()
        self.in_flight = self.waiting = 0
        self.calls: list[Call] = []
        self.streams: list[ScriptedStream] = []

    async def open(self, call: Call) -> UpstreamStream:
        self.calls.append(call)
        if not self.scripts:
            raise failure("connect", "refused", "its scripts have run out")
        script = self.scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        self.streams.append(ScriptedStream(script, self.prompt_tokens))
        return self.streams[-1]

    async def close(self) -> None:
        """Nothing to close."""


class ScriptedStream:
    def __init__(self, script: Script, prompt_tokens: int | None) -> None:
        self.script, self.prompt_tokens, self.closed = list(script), prompt_tokens, False

    async def read(self) -> Sequence[Event]:
        if not self.script:
            return ()
        given = self.script.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def close(self) -> None:
        self.closed = True


def planned(
    *names: str, fills: tuple[str, ...] = (), able: Capabilities = ABLE, **fields: Any
) -> Plan:
    """One attempt for each name, all of them `able`; `fields` of the request, of which the call has
    what it takes."""
    fields = {"prompts": ["12345"], "max_tokens": 50, "stream": True, **fields}
    request = CompletionRequest(model="m", **fields)
    taken = {name: value for name, value in fields.items() if name in Call.__struct_fields__}
    call, work = worked(request, Call(model="theirs", **taken), fills, able, FillLimits())
    made = None if work == NOTHING else work
    return Plan(request, tuple(Attempt(name, call, fills, made) for name in names))


def opened(plan: Plan, **upstreams: Scripted) -> Answer:
    return asyncio.run(relay(**upstreams).open(plan))


def relay(**upstreams: Scripted) -> Relay:
    """They are asked in the order in which they are named here; nobody waits for a lost one."""
    sites = {}
    for number, (name, each) in enumerate(upstreams.items()):
        each.name = name
        sites[name] = Site(name, each, priority=number)
    return Relay(sites, handoffs=Bounds(wait_s=0.01))


async def gathered(answer: Answer) -> list[Delta]:
    found: list[Delta] = []
    while deltas := await answer.read():
        found += deltas
    return found


def read(answer: Answer) -> list[Delta]:
    return asyncio.run(gathered(answer))
