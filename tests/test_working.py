"""A worker at work is tested as a process (test_worker.py); here, what it loads before that."""

import asyncio

import msgspec
import pytest
import uvicorn

from baton import files, working
from baton.config import Settings
from tests.hearing import hearing
from tests.loading import loaded

DEAR = {
    "alembic": "where the book's schema is not this version's",
    "baton.web.console.table": "when somebody opens the console",
    "baton.web.routes": "when somebody asks for a route that is no probe",
    "cryptography": "where something is sealed: upstreams' keys, kept answers, sessions",
    "jinja2": "pages",
    "numpy": "a model's copy is made once",
    "prometheus_client": "/metrics",
    "rich": "as typer",
    "sqlalchemy.dialects.postgresql": "books on a server",
    "starlette.applications": "as baton.web.routes",
    "typer": "people's commands",
}
"""What takes long to load, and when it is needed: not for an answer."""


def test_what_a_worker_loads_at_its_start() -> None:
    """Nothing that it can do without until then: every start waits for it, and memory holds it."""
    assert set() == loaded("baton.working", DEAR)


def test_fewer_callers_where_there_are_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are let in that files are left for what an answer needs; the operator is told."""
    monkeypatch.setattr(files, "enough_for", lambda connections: min(connections, 96))
    settings = Settings(connections_max=100)
    with hearing() as told:
        assert msgspec.structs.replace(settings, connections_max=96) == working._let_in(settings)
        for least in (96, 1_000):
            monkeypatch.setattr(files, "enough_for", lambda _, least=least: least)
            enough = Settings(connections_max=least)
            assert enough == working._let_in(enough)
    assert [(True, 96)] == [
        ("ulimit -n" in str(each["event"]), each["connections"]) for each in told
    ]


def test_it_is_told_to_stop() -> None:
    """At once, without a look at it ten times a second."""
    looks: list[bool] = []

    class Counted(working.Server):
        """Each look is written down."""

        async def on_tick(self, counter: int) -> bool:
            looks.append(await super().on_tick(counter))
            return looks[-1]

    async def run() -> None:
        server = Counted(uvicorn.Config("nobody:here", log_config=None))
        async with asyncio.timeout(working.TICK_S / 2), asyncio.TaskGroup() as tasks:
            tasks.create_task(server.main_loop())
            await asyncio.sleep(0)
            assert server.server_state.default_headers, "the date"
            server.stop()

    asyncio.run(run())
    assert [False, True] == looks
