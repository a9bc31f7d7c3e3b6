"""What the console costs in a large book: python -m bench.console_bench [--rows N] [--asks N]

Fills a SQLite book with requests of 90 days, and the roll-ups, those over time by their migration;
then a real `baton serve` with a mock upstream answers pages,
and completions at a fixed rate: with nobody looking, with one who loads the overview anew each two
seconds beside a page that numbers are pushed to, and with twenty such people. Prints one JSON
object a line.
"""

import argparse
import contextlib
import http.client
import json
import pathlib
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import sqlalchemy

from baton.config import Settings
from baton.stores import migrate
from baton.stores.book import Store, open_store
from baton.stores.tables import request
from bench.relay_bench import Scenario, measure
from bench.relays import Relay, baton, build, mock
from tests.bookkeeping import new_key
from tests.running import ADMIN_KEY

PLACE = "/var/tmp"
DAYS, KEYS, MODELS, UPSTREAMS = 90, 100, 5, 3
FIXED = Scenario("fixed", connections=16, seconds=10.0, rate=300.0)
PAUSES_S = (None, 2.0, 0.1)
"""Between two loads of the page by who looks: nobody, one, and twenty people together."""
PAGES = (
    "overview?window=hour",
    "overview?window=day",
    "overview?window=week",
    "overview?window=quarter",
    "overview/data?window=day",
    "usage",
    "requests",
    "requests?model=nothing-like-it",
    "keys",
)
ROW = {
    "id": "(1 << 62) + i",
    "request_id": "'cmpl-bench-' || i",
    "created_us": ":now_us - (:rows - i) * :step_us",
    "key_id": "k.id",
    "account": "'key:' || k.id",
    "scopes": "''",
    "model": f"'model-' || (b % {MODELS})",
    "upstream": f"'place-' || (c % {UPSTREAMS})",
    "user": "NULL",
    "stream": "b % 10 < 7",
    "state": "'settled'",
    "hold": "1000000",
    "charge": "(a % 300 + 1) * 600",
    "cost": "(a % 300 + 1) * 400",
    "prompt_tokens": "b % 2000",
    "completion_tokens": "a % 300 + 1",
    "hold_us": "800",
    "first_byte_us": "20000 + (b % 1000) * (c % 1000) / 5",
    "last_byte_us": "20000 + (b % 1000) * (c % 1000) / 5 + (a % 300) * (5000 + c % 9000)",
    "status": "CASE c % 100 WHEN 0 THEN 500 ELSE 200 END",
    "error_code": "NULL",
    "finish_reason": "'stop'",
    "fills": "''",
    "attempts": "1",
}
"""A request's columns, in SQL, from its number and three dice."""
ROLL_UP = """
INSERT INTO usage_day SELECT created_us / 86400000000, key_id, model, upstream, count(*),
 sum(status >= 400), sum(stream), 0, sum(handoffs), sum(prompt_tokens), 0, sum(completion_tokens),
 0, sum(charge), 0, sum(cost) FROM request GROUP BY 1, 2, 3, 4
"""


def fill(store: Store, rows: int) -> None:
    """So many requests, the newest ones now, and their sums."""
    for number in range(KEYS):
        new_key(store, f"bench-{number}")
    given = {
        "rows": rows,
        "now_us": time.time_ns() // 1000,
        "step_us": DAYS * 86_400_000_000 // rows,
    }
    nothing = {column.name: "0" for column in request.columns}
    columns = nothing | ROW
    names = ", ".join(f'"{name}"' for name in columns)
    with store.database.writing() as connection:
        connection.execute(
            sqlalchemy.text(
                f"INSERT INTO request({names}) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL"
                f" SELECT i + 1 FROM n WHERE i < :rows - 1), drawn AS MATERIALIZED (SELECT i,"
                f" abs(random()) AS a, abs(random()) AS b, abs(random()) AS c FROM n)"
                f" SELECT {', '.join(columns.values())} FROM drawn JOIN (SELECT id,"
                f" row_number() OVER () - 1 AS place FROM key) AS k ON k.place = a % {KEYS}"
            ),
            given,
        )
        connection.execute(sqlalchemy.text(ROLL_UP))


class Reader:
    """Somebody who is signed in."""

    def __init__(self, port: int) -> None:
        self.port, self.cookie = port, ""
        body = urlencode({"key": ADMIN_KEY})
        own = {"Origin": f"http://127.0.0.1:{port}"}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._ask("POST", "/console", body, own | kind)
        found = re.search(r"baton_session=[^;]+", answer.getheader("set-cookie") or "")
        assert found is not None, "the sign-in was refused"
        self.cookie = found.group()

    def get(self, path: str) -> tuple[float, int]:
        """Seconds that a page took, and its bytes."""
        began_s = time.perf_counter()
        answer = self._ask("GET", f"/console/{path}", None, {})
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:300])
        return time.perf_counter() - began_s, len(body)

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {"Cookie": self.cookie, **headers})
        return connection.getresponse()


@contextlib.contextmanager
def looking(reader: Reader, pause_s: float) -> Iterator[list[float]]:
    """Load the overview anew all the while; what each load took, in seconds."""
    took_s: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(pause_s):
            took_s.append(reader.get("overview?window=day")[0])

    live = http.client.HTTPConnection("127.0.0.1", reader.port, timeout=30)
    live.request("GET", "/console/overview/live", headers={"Cookie": reader.cookie})
    live.getresponse()
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield took_s
    finally:
        over.set()
        thread.join()
        live.close()


def pages(reader: Reader, asks: int) -> Iterator[dict[str, object]]:
    for path in PAGES:
        reader.get(path)
        found = [reader.get(path) for _ in range(asks)]
        times = sorted(took_s * 1e3 for took_s, _ in found)
        yield {
            "page": path,
            "p50_ms": round(statistics.median(times), 1),
            "p95_ms": round(times[int(0.95 * len(times))], 1),
            "most_ms": round(times[-1], 1),
            "kib": round(found[0][1] / 1024, 1),
        }


def relayed(
    relay: Relay, upstream: Relay, reader: Reader, folder: pathlib.Path, rounds: int
) -> Iterator[dict[str, object]]:
    """The relay at a fixed rate, with nobody looking and with somebody, in turns."""
    for number in range(rounds):
        for pause_s in PAUSES_S:
            nobody = contextlib.nullcontext[list[float]]([])
            with looking(reader, pause_s) if pause_s else nobody as took_s:
                found = measure(relay, upstream, FIXED, folder)
            yield {
                "round": number,
                "pause_s": pause_s,
                "latency_us": found["load"]["latency_us"],
                "bad": found["load"]["bad"],
                "cpu_us_each": found["cpu_us_each"],
                "other_cores": found["other_cores"],
                "loads": len(took_s),
                "load_p50_ms": round(statistics.median(took_s) * 1e3, 1) if took_s else None,
            }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.console_bench")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--asks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=PLACE)))
        build(folder)
        store = open_store(Settings(home=str(folder / "home")))
        book = store.database.place
        began_s = time.monotonic()
        fill(store, options.rows)
        store.close()
        migrate.move(book, "0006")
        filled_s = time.monotonic()
        migrate.bring_up(book)
        summed_s = time.monotonic()
        told = {"rows": options.rows, "filled_s": round(filled_s - began_s, 1)}
        print(json.dumps({**told, "migrated_s": round(summed_s - filled_s, 1)}), flush=True)
        upstream = stack.enter_context(mock(folder))
        relay = stack.enter_context(baton(folder, upstream.port))
        reader = Reader(relay.port)
        for line in pages(reader, options.asks):
            print(json.dumps(line), flush=True)
        for line in relayed(relay, upstream, reader, folder, options.rounds):
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
