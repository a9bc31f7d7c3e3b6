"""Tables of how upstreams fared: sums by slot of time, times to the first token, changes of state.

All three are bounded: by upstreams times slots that are kept, and by changes kept of each upstream
(stores/history.py).
"""

from sqlalchemy import Column, Index, Table, Text

from baton.stores.kept_tables import metadata as metadata
from baton.stores.tables import Whole, whole, whole_key, words

upstream_slot = Table(
    "upstream_slot",
    metadata,
    whole_key("span_s"),
    Column("upstream", Text, primary_key=True),
    whole_key("start_s"),  # seconds since 1970
    whole("requests"),
    whole("failed"),
    whole("failed_calls"),
    whole("lost_streams"),
    whole("handoffs"),
    whole("ejections"),
    whole("degraded_ms"),  # over all workers
    whole("ejected_ms"),
    whole("half_open_ms"),
    whole("warming_ms"),
    sqlite_strict=True,
)

upstream_first = Table(
    "upstream_first",
    metadata,
    whole_key("span_s"),
    Column("upstream", Text, primary_key=True),
    whole_key("start_s"),
    whole_key("bucket"),  # telemetry/metrics.py: SECONDS
    whole("times"),
    sqlite_strict=True,
)

upstream_change = Table(
    "upstream_change",
    metadata,
    Column("id", Whole, primary_key=True),
    whole("at_us"),
    words("upstream"),
    words("worker"),
    words("state"),
    words("reason"),
    Index("upstream_change_upstream", "upstream", "id"),
    sqlite_strict=True,
)
