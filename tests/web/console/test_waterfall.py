"""A request's time in parts."""

import msgspec

from baton.stores.base import RequestRecord
from baton.web.console.waterfall import WIDTH_MIN, parts

RECORD = msgspec.convert(
    {
        **{name: 0 for name in RequestRecord.__struct_fields__},
        **{name: "" for name in ("request_id", "key_id", "account", "scopes", "model", "upstream")},
        **{name: None for name in ("user", "error_code", "finish_reason")},
        "state": "settled",
        "fills": "",
        "stream": True,
        "estimated": False,
    },
    RequestRecord,
)


def record(**timings: int | None) -> RequestRecord:
    nothing = dict.fromkeys(("queue_us", "hold_us", "first_byte_us", "last_byte_us"))
    return msgspec.structs.replace(RECORD, **{**nothing, **timings})


def test_parts_follow_each_other() -> None:
    found = parts(record(hold_us=10, queue_us=20, first_byte_us=60, last_byte_us=100))
    assert [("hold", 10), ("queue", 10), ("first", 40), ("chunks", 40)] == [
        (one.name, one.lasts_us) for one in found
    ]
    assert [0, 10, 20, 60] == [one.left for one in found]
    assert 100 == found[-1].left + found[-1].width


def test_what_did_not_happen_has_no_part() -> None:
    assert [] == parts(record())
    assert ["hold", "first"] == [one.name for one in parts(record(hold_us=1, first_byte_us=5))]


def test_a_clock_that_stepped_back() -> None:
    found = parts(record(hold_us=50, first_byte_us=40, last_byte_us=40))
    assert [50, 0, 0] == [one.lasts_us for one in found]
    assert WIDTH_MIN == found[-1].width
