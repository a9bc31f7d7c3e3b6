"""Whether a book is right: what must hold of any book, asked in SQL.

Used by the check of a backup, and by tests after every crash.
"""

import contextlib
import pathlib
import sqlite3

from sqlalchemy import text

from baton.stores.database import Database, Place

WITHIN = "replace(',' || r.scopes || ',', ',' || a.id || ',', '') <> ',' || r.scopes || ','"
"""Whether a request counts in an account beside the paying one."""
RULES = {
    "entries of a fold do not sum to zero": "SELECT fold, sum(amount_nano) FROM entry"
    " GROUP BY fold HAVING sum(amount_nano) <> 0",
    "entries of a request do not sum to zero": "SELECT id, sum(amount_nano) FROM request_entry"
    " GROUP BY id HAVING sum(amount_nano) <> 0",
    "an account's entries are not those of its requests": """
        SELECT account, sum(amount_nano) FROM (
          SELECT account, amount_nano FROM entry
          UNION ALL SELECT account, -amount_nano FROM request_entry) AS both_sides
        GROUP BY account HAVING sum(amount_nano) <> 0""",
    "a balance is not the sum of its charges": f"""
        SELECT a.id, a.posted_nano, coalesce(sum(r.charge), 0) FROM account a LEFT JOIN request r
          ON r.account = a.id OR {WITHIN}
        WHERE a.id NOT LIKE 'tokens:%'
        GROUP BY a.id HAVING a.posted_nano <> coalesce(sum(r.charge), 0)""",
    "a quota is not the sum of its tokens": f"""
        SELECT a.id, a.posted_nano FROM account a LEFT JOIN request r
          ON {WITHIN} AND r.state <> 'released'
        WHERE a.id LIKE 'tokens:%' GROUP BY a.id, a.posted_nano
        HAVING a.posted_nano <> coalesce(sum(coalesce(r.prompt_tokens, 0)
          + coalesce(r.completion_tokens, 0)), 0)""",
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


def faults(book: Place) -> list[str]:
    """One sentence for each rule that does not hold; empty for a right book."""
    if isinstance(book, pathlib.Path) and damaged(book):
        return ["the file is damaged"]
    found, database = [], Database(book)
    try:
        with database.reading() as connection:
            for sentence, query in RULES.items():
                row = connection.execute(text(query)).fetchone()
                if row is not None:
                    found.append(f"{sentence}: {tuple(row)}")
    finally:
        database.close()
    return found


def damaged(path: pathlib.Path) -> bool:
    """Whether the file is no sound SQLite database."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10.0)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() != ("ok",))
    except sqlite3.DatabaseError:
        return True
