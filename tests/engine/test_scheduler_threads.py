"""How many threads compute which steps, on a real model with two."""

from typing import cast

from baton.engine.crowding import Usage
from baton.engine.llama import Context, Model
from tests.engine.rig import Rig, call, wait_until


class Watched:
    """A context that notes how many threads its decodes had."""

    def __init__(self, context: Context) -> None:
        self._context, self.seen = context, list[int]()

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def decode(self, length: int) -> None:
        self.seen.append(self._context.computing)
        self._context.decode(length)


class Machine:
    """Tells at each look that a second and more of a core was missing, or was idle."""

    def __init__(self) -> None:
        self.delayed_s = self.idle_s = 0.0
        self.crowded = False

    def usage(self) -> Usage:
        if self.crowded:
            self.delayed_s += 9.0
        else:
            self.idle_s += 9.0
        return Usage(self.delayed_s, self.idle_s)


def test_fewer_threads_while_the_machine_is_busy(tiny: Model) -> None:
    """And all of them again later; what shall have the same bits each time has all of them."""
    machine, watched = Machine(), Watched(Context(tiny, 4, 256, threads=2))

    def wrap(context: Context) -> Context:
        context.close()
        return cast("Context", watched)

    rig = Rig(tiny, 4, 256, wrap=wrap)
    rig.scheduler.usage = machine.usage
    with rig:

        def threads(*, deterministic: bool = False) -> set[int]:
            del watched.seen[:]
            rig.complete(call("abc", max_tokens=9, deterministic=deterministic))
            return set(watched.seen)

        assert {2} == threads()
        machine.crowded = True
        wait_until(lambda: threads() == {1})
        assert {2} == threads(deterministic=True)
        assert {1} == threads()
        machine.crowded = False
        wait_until(lambda: threads() == {2})


def test_one_thread_asks_nobody(tiny: Model) -> None:
    """The default on two cores."""

    def usage() -> Usage:
        raise AssertionError("asked")

    rig = Rig(tiny, 4, 256)
    rig.scheduler.usage = usage
    with rig:
        assert 9 == rig.complete(call("abc", max_tokens=9)).finished.usage.completion_tokens
