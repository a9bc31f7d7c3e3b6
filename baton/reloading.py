"""Which settings a reload (SIGHUP) takes on, and which wait for a restart. Pure.

What workers use can change with them: each runs with the settings that it began with, and old ones
end with theirs. What the parent, the engine or the book was begun with stays. So do variables: a
process has those that it was started with, and it is baton.toml that is read anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from baton.config import Settings

FIXED = (
    *("host", "port", "admin_listen", "workers", "home"),
    *("bootstrap_key", "admin_key", "master_key", "database_url", "journal"),
    *("model", "model_cache", "engine_eight_bit", "engine_threads", "engine_sequences"),
    *("engine_context_tokens", "engine_gpu_layers", "engine_queue_max", "engine_deterministic"),
    *("engine_speculation", "prefill_budget_ms"),
)
"""Sockets, processes, where the book is and what it was begun with, and the engine."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The settings to go on with, and the names of those that are others than before (`changed`),
    and that are others than at the start and stay as they were (`waiting`)."""

    settings: Settings
    changed: Sequence[str]
    waiting: Sequence[str]


def taken(runs: Settings, began: Settings, now: Settings) -> Taken:
    """What becomes of `runs`, which was made of what was read at the start (`began`; a port was
    taken, a model may be off since), when `now` is read."""
    kept = {name: getattr(runs, name) for name in FIXED}
    settings = msgspec.structs.replace(now, **kept)
    return Taken(settings, _others(runs, settings), [n for n in _others(began, now) if n in FIXED])


def _others(one: Settings, other: Settings) -> list[str]:
    return [n for n in Settings.__struct_fields__ if getattr(one, n) != getattr(other, n)]
