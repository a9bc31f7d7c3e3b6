"""Tables of what is kept sealed, for a time: answers for an Idempotency-Key, and what was asked and
answered where a key opted in.
"""

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from baton.stores.journal_tables import metadata as metadata
from baton.stores.tables import whole, words

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),  # of the value that the caller chose
    Column("fingerprint", LargeBinary, nullable=False),  # of the request
    words("state"),  # running | answered | charged
    words("owner"),  # the process that works on it
    whole("lease_us"),  # when the owner counts as dead
    whole("expires_us"),
    Column("request_id", Text),
    Column("answer", LargeBinary),  # sealed: vault.Seal
    whole("answer_bytes"),
    Index("idempotency_expires", "expires_us"),
    Index("idempotency_owner", "owner"),
    sqlite_strict=True,
)

content = Table(
    "content",
    metadata,
    Column("request_id", Text, primary_key=True),
    words("key_id"),
    whole("created_us"),  # of the request
    whole("expires_us"),  # as its key said when this was written; it may say less now
    whole("bytes"),  # of the texts, before sealing
    Column("sealed", LargeBinary, nullable=False),  # vault.Seal; last, as it may be long
    Index("content_expires", "expires_us"),
    Index("content_key", "key_id", "created_us"),
    sqlite_strict=True,
)
