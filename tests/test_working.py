"""A worker at work is tested as a process (test_worker.py); here, what it loads before that."""

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
