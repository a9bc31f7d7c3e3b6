"""What callers send is nowhere but on its way: in no file, nor in what Baton tells of itself.

One run on SQLite with an engine, and one on PostgreSQL with the journal in it. Looked at are every
file of the home (book, journals, logs of both, what processes share), the server's log, a backup,
every file of the database server (tables, its own log of changes, its log) and every row of every
table as text, since a server may compress what is long.
"""

import json
import pathlib
import time
from collections.abc import Iterable, Iterator

import psycopg
import pytest

from tests import running
from tests.asking import Answer, Endpoint
from tests.faults.conftest import FAKE_MODEL, add_upstream, set_prices, until_known
from tests.servers import Postgres

PROMPT = "canaryprompt of the caller"
SUFFIX = "canarysuffix of the caller"
ORDER = "canary-order-77"
WRONG = "sk-canary-nobodys-key-000000"
UPSTREAM_SAYS = json.dumps({"error": {"message": f"cannot read {PROMPT!r}", "code": 17}})
CANARIES = ("canaryprompt", "canarysuffix", ORDER, WRONG)


def test_canaries_with_sqlite(home: pathlib.Path, fake_url: str) -> None:
    """A key, prompts, a suffix, idempotency keys and answers that repeat the prompt: in plain and
    idempotent requests, streamed, filled, at other doors, handed over, refused and broken by the
    upstream, all of a key whose content is kept: in 0 bytes, while it runs and afterwards."""
    with running.serving(home, {"BATON_ACCESS_LOG": "-", "BATON_WORKERS": "2"}) as server:
        canaries = exercised(server, fake_url, [FAKE_MODEL, server.model])
        assert [] == found(files(home), canaries)
        server.cli("backup", str(home.parent / "backup"))
        server.stop()
    assert [] == found([*files(home), *files(home.parent / "backup")], canaries)


def test_canaries_with_postgres(home: pathlib.Path, fake_url: str, cluster: Postgres) -> None:
    """Likewise in the files and the rows of a database that has the journals, too."""
    url = cluster.database()
    settings = {"BATON_MODEL": "none", "BATON_DATABASE_URL": url, "BATON_JOURNAL": "shared"}
    with running.serving(home, settings) as server:
        canaries = exercised(server, fake_url, [FAKE_MODEL])
        during = [row for row in rows(url) if any(each in row for each in canaries)]
        server.stop()
    assert [] == during
    assert [] == [row for row in rows(url) if any(each in row for each in canaries)]
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    looked_at = [*files(home), *files(cluster.folder)]
    assert any(path.parent.name == "pg_wal" for path in looked_at)
    assert [] == found(looked_at, canaries)


def exercised(server: running.Server, fake_url: str, models: list[str]) -> list[bytes]:
    """Ask in every way there is; what nobody may find afterwards. What Baton answers with an error,
    and what it tells of itself, has none of it."""
    set_prices(server)
    add_upstream(server, fake_url)
    until_known(server, FAKE_MODEL)
    kept = ("--keep-content-days", "3")
    made = json.loads(server.cli("key", "create", "canary", "--budget", "1", *kept, "--json"))
    told = []
    for model in models:
        caller = Endpoint(server.base_url, str(made["value"]), model)
        told += [*idempotent(caller), *unusual(caller), *refused(caller)]
    told += broken(Endpoint(server.base_url, str(made["value"]), FAKE_MODEL), fake_url)
    canaries = [*CANARIES, str(made["value"])]
    admin = Endpoint(server.base_url, server.admin_key, FAKE_MODEL)
    assert_kept(admin)
    own = [admin.get("/metrics"), admin.get("/admin/v1/usage"), admin.get("/admin/v1/audit")]
    assert {200} == {answer.status for answer in own}
    assert {401, 400, 422, 502} <= {answer.status for answer in told}
    for answer in [*told, *own]:
        assert [] == [each for each in canaries if each in answer.text], answer.text
    return [each.encode() for each in canaries]


def assert_kept(admin: Endpoint) -> None:
    """Content is kept, so that there is something to be found; it is a moment on its way."""
    deadline_s = time.monotonic() + 10.0
    while True:
        rows = admin.get("/admin/v1/requests?limit=1000").json["data"]
        told = [admin.get(f"/admin/v1/requests/{row['request_id']}/content") for row in rows]
        if sum(PROMPT in answer.text for answer in told) > 10:
            return
        assert time.monotonic() < deadline_s, [answer.text for answer in told]


def idempotent(caller: Endpoint) -> Iterator[Answer]:
    """Plain requests and kept answers that repeat the prompt; the refusals of other requests under
    the same name."""
    for number in range(3):
        for stream in (False, True):
            body = {"model": caller.model, "prompt": PROMPT, "echo": True, "max_tokens": 4}
            body |= {"stream": stream}
            assert PROMPT in caller.post("/v1/completions", body).text
            name = f"{ORDER}-{caller.model}-{number % 2}-{stream}"
            kept = caller.post("/v1/completions", body, Idempotency_Key=name)
            assert PROMPT in kept.text.replace('","', "") or stream
            other = {**body, "max_tokens": 5}
            yield caller.post("/v1/completions", other, Idempotency_Key=name)


def unusual(caller: Endpoint) -> list[Answer]:
    """Filled, with a suffix, of several prompts, at the doors of other servers, counted: answers
    may have what was sent, so only errors among them are looked at."""
    plain = {"model": caller.model, "prompt": PROMPT, "max_tokens": 3}
    asked = [
        ("/v1/completions", {**plain, "n": 2, "best_of": 3, "logprobs": 2}),
        ("/v1/completions", {**plain, "prompt": [PROMPT, PROMPT + " again"], "echo": True}),
        ("/v1/completions", {**plain, "suffix": SUFFIX}),
        ("/v1/completions", {**plain, "stop": [PROMPT]}),
        ("/v1/fim/completions", {**plain, "suffix": SUFFIX}),
        ("/infill", {"input_prefix": PROMPT, "input_suffix": SUFFIX, "n_predict": 3}),
        (
            f"/m/{caller.model}/infill",
            {"input_prefix": PROMPT, "input_suffix": SUFFIX, "n_predict": 2},
        ),
        ("/tokenize", {"model": caller.model, "prompt": PROMPT}),
        ("/v1/completions", {**plain, "unknown_field": PROMPT}),
    ]
    answers = [caller.post(path, body) for path, body in asked]
    assert sum(answer.status == 200 for answer in answers) >= 4, [a.text for a in answers]
    return [answer for answer in answers if answer.status >= 400]


def refused(caller: Endpoint) -> list[Answer]:
    """Requests that are none, under an idempotency key, and by a key that nobody has."""
    bodies: list[dict[str, object]] = [
        {"prompt": PROMPT, "n": 0},
        {"prompt": [PROMPT, 1]},
        {"prompt": PROMPT, "max_tokens": 10**9},
        {"prompt": PROMPT, "stop": 5},
    ]
    told = [
        caller.post("/v1/completions", {"model": caller.model, **body}, Idempotency_Key=ORDER)
        for body in bodies
    ]
    told.append(Endpoint(caller.base_url, WRONG, caller.model).complete(prompt=PROMPT))
    told.append(caller.ask("POST", "/v1/completions", b'{"prompt": "' + PROMPT.encode()))
    return told


def broken(caller: Endpoint, fake_url: str) -> list[Answer]:
    """What an upstream says of the prompt when it fails. Its words about a request that it finds
    wrong go back to who sent that, and nowhere else."""
    upstream, body = Endpoint(fake_url, "", FAKE_MODEL), {"model": FAKE_MODEL, "prompt": PROMPT}
    upstream.post("/fault", {"status": 400, "body": UPSTREAM_SAYS})
    told = caller.post("/v1/completions", body, Idempotency_Key=f"{ORDER}-wrong")
    assert (400, f"cannot read {PROMPT!r}") == (told.status, told.error["message"])
    upstream.post("/fault", {"status": 500, "body": UPSTREAM_SAYS, "times": 20})
    told = caller.post("/v1/completions", body, Idempotency_Key=f"{ORDER}-broken")
    while upstream.post("/v1/completions", {**body, "model": "theirs"}).status != 200:
        pass  # it is to be whole for the next test
    return [told]


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All under the folder, and the log of a server whose home it is."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    log = folder.parent / f"{folder.name}.log"
    return [*found, log] if log.exists() else found


def found(looked_at: Iterable[pathlib.Path], canaries: list[bytes]) -> list[tuple[str, bytes]]:
    """In which file which canary stands."""
    return [
        (path.name, each)
        for path in looked_at
        for content in [path.read_bytes()]
        for each in canaries
        if each in content
    ]


def rows(url: str) -> list[bytes]:
    """Every row of every table as bytes; columns of bytes as they are."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        tables = connection.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert len(tables) > 10
        return [
            b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
            for (name,) in tables
            for row in connection.execute(f"SELECT * FROM {name}")
        ]


@pytest.mark.parametrize("place", ["home/deep/file", "home.log"])
def test_a_canary_would_be_found(tmp_path: pathlib.Path, place: str) -> None:
    """In any file of the home, and in the log beside it."""
    path = tmp_path / place
    (tmp_path / "home/deep").mkdir(parents=True)
    assert [] == found(files(tmp_path / "home"), [b"canaryprompt"])
    path.write_bytes(b"\0..canaryprompt..")
    assert [(path.name, b"canaryprompt")] == found(files(tmp_path / "home"), [b"canaryprompt"])
