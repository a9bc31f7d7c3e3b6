"""Whether a book is right: what must hold of any book, asked in SQL.

Used by the check of a backup, and by tests after every crash.
"""

import contextlib
import pathlib
import sqlite3

RULES = {
    "entries of a fold do not sum to zero": "SELECT fold, sum(amount_nano) FROM entry"
    " GROUP BY fold HAVING sum(amount_nano) <> 0",
    "entries of a request do not sum to zero": "SELECT id, sum(amount_nano) FROM request_entry"
    " GROUP BY id HAVING sum(amount_nano) <> 0",
    "an account's entries are not those of its requests": """
        SELECT account, sum(amount_nano) FROM (
          SELECT account, amount_nano FROM entry
          UNION ALL SELECT account, -amount_nano FROM request_entry)
        GROUP BY account HAVING sum(amount_nano) <> 0""",
    "a balance is not the sum of its charges": """
        SELECT a.id, a.posted_nano, coalesce(sum(r.charge), 0) FROM account a LEFT JOIN request r
          ON r.account = a.id OR instr(',' || r.scopes || ',', ',' || a.id || ',') > 0
        GROUP BY a.id HAVING a.posted_nano <> coalesce(sum(r.charge), 0)""",
    "a charge exceeds its hold": "SELECT id FROM request WHERE charge > hold OR charge < 0",
    "days are not the sum of their requests": """
        SELECT 1 FROM (SELECT coalesce(sum(requests), 0) AS n, coalesce(sum(charge), 0) AS c,
          coalesce(sum(cost), 0) AS o, coalesce(sum(completion_tokens), 0) AS t FROM usage_day) d,
          (SELECT count(*) AS n, coalesce(sum(charge), 0) AS c, coalesce(sum(cost), 0) AS o,
          coalesce(sum(completion_tokens), 0) AS t FROM request) r
        WHERE (d.n, d.c, d.o, d.t) <> (r.n, r.c, r.o, r.t)""",
    "folds are not the sum of their requests": """
        SELECT 1 WHERE (SELECT coalesce(sum(requests), 0) FROM fold)
          <> (SELECT count(*) FROM request)""",
}


def faults(book: pathlib.Path) -> list[str]:
    """One sentence for each rule that does not hold; empty for a right book."""
    if damaged(book):
        return ["the file is damaged"]
    found = []
    with contextlib.closing(sqlite3.connect(book, timeout=10.0)) as connection:
        connection.execute("BEGIN")
        for sentence, query in RULES.items():
            row = connection.execute(query).fetchone()
            if row is not None:
                found.append(f"{sentence}: {row}")
    return found


def damaged(path: pathlib.Path) -> bool:
    """Whether the file is no sound SQLite database."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10.0)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() != ("ok",))
    except sqlite3.DatabaseError:
        return True
