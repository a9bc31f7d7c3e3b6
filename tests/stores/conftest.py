"""Which tests of the store run on both books: on SQLite and on PostgreSQL."""

import pytest

from tests.bookkeeping import POSTGRES

ONE_KIND = {
    "test_audit",
    "test_backup",
    "test_copy",
    "test_database",
    "test_glance",
    "test_migrate",
    "test_moves",
}
"""Modules that are about files, or about both kinds at once."""
NEED_NO_BOOK = {
    "test_folders",
    "test_framing",
    "test_history_tables",
    "test_journal_tables",
    "test_kept_tables",
    "test_log",
    "test_postgres",
    "test_segments",
    "test_vault",
    "test_windows",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__.rpartition(".")[2]
    if name not in ONE_KIND | NEED_NO_BOOK:
        metafunc.parametrize("kind", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where tests.bookkeeping makes the books of this test."""
    kind = str(getattr(request, "param", "sqlite"))
    if kind == "postgresql":
        cluster = request.getfixturevalue("cluster")
        monkeypatch.setenv(POSTGRES, cluster.url("postgres"))
    return kind
