"""Tables of how upstreams fared: sums by slot of time, times to the first token, changes of state.

All three are bounded: by upstreams times slots that are kept, and by changes kept of each upstream
(stores/history.py).
"""

from sqlalchemy import Column, Index, Table, Text

from baton.stores.kept_tables import metadata as metadata
from baton.stores.tables import Whole


def _whole(name: str) -> Column[int]:
    return Column(name, Whole, nullable=False)


def _key(name: str) -> Column[int]:
    return Column(name, Whole, primary_key=True, autoincrement=False)


upstream_slot = Table(
    "upstream_slot",
    metadata,
    _key("span_s"),
    Column("upstream", Text, primary_key=True),
    _key("start_s"),  # seconds since 1970
    _whole("requests"),
    _whole("failed"),
    _whole("failed_calls"),
    _whole("lost_streams"),
    _whole("handoffs"),
    _whole("ejections"),
    _whole("degraded_ms"),  # over all workers
    _whole("ejected_ms"),
    _whole("half_open_ms"),
    _whole("warming_ms"),
    sqlite_strict=True,
)

upstream_first = Table(
    "upstream_first",
    metadata,
    _key("span_s"),
    Column("upstream", Text, primary_key=True),
    _key("start_s"),
    _key("bucket"),  # telemetry/metrics.py: SECONDS
    _whole("times"),
    sqlite_strict=True,
)

upstream_change = Table(
    "upstream_change",
    metadata,
    Column("id", Whole, primary_key=True),
    _whole("at_us"),
    Column("upstream", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("upstream_change_upstream", "upstream", "id"),
    sqlite_strict=True,
)
