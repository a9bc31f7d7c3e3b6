"""What is noted of refusals: a bounded part, all of them counted, nothing that is secret."""

import json
import sys
from collections.abc import Callable

import pytest

from baton import errors
from baton.errors import RequestError, bad_key, invalid, rate_limited, unknown_model
from baton.telemetry import refused
from baton.telemetry.metrics import Metrics
from baton.telemetry.refused import (
    BODY_BYTES_MAX,
    KEY_ROWS_MAX,
    MESSAGE_CHARS_MAX,
    NAME_CHARS_MAX,
    ROWS_MAX,
    SINGLY_MAX,
    WAITING_MAX,
    Asked,
    Refusal,
    Refusals,
    model_in,
    shown,
)

NOON_S = 1_800_000_000.0
KEY = "sk-bt-0123456789abcdefABCDEF012345"
MORE = 1_000_000


class Noted:
    """One process's, at a time of day that the test moves."""

    def __init__(self, *, kept: bool = True) -> None:
        self.now_s = NOON_S
        self.metrics = Metrics()
        self.refusals = Refusals(self.metrics, kept=kept, clock=lambda: self.now_s)
        self.asked = 0

    def note(self, error: RequestError, key_id: str = "", times: int = 1, model: str = "m") -> None:
        for _ in range(times):
            self.refusals.note(key_id, error, self._asking(model))

    def rows(self, after_s: float = 0.0) -> list[Refusal]:
        """What is due so much later; it counts as written."""
        self.now_s += after_s
        found = list(self.refusals.due(MORE))
        self.refusals.done(len(found))
        return found

    def ends(self) -> tuple[int, ...]:
        return tuple(self.metrics.snapshot().refusals[end] for end in ("kept", "summed", "dropped"))

    def _asking(self, model: str) -> Callable[[], Asked]:
        def asked() -> Asked:
            self.asked += 1
            return Asked(f"r{self.asked}", "POST /v1/completions", model)

        return asked


def kinds(number: int) -> list[RequestError]:
    return [invalid("no", code=f"code{n}") for n in range(number)]


def test_a_refusal_as_its_caller_saw_it() -> None:
    """All that an operator needs, and when."""
    noted = Noted()
    noted.note(unknown_model("gpt"), "key_a", model="gpt")
    assert [
        Refusal(
            request_id="r1",
            at_us=round(NOON_S * 1e6),
            key_id="key_a",
            route="POST /v1/completions",
            model="gpt",
            status=404,
            code="model_not_found",
            param="model",
            message="The model 'gpt' does not exist or you do not have access to it.",
        )
    ] == noted.rows()
    assert [] == noted.rows()


def test_those_that_are_alike_share_a_row() -> None:
    """The first ones singly, the others counted in one, which comes when their minute is over."""
    noted = Noted()
    noted.note(bad_key(), times=5_000)
    assert [1] * SINGLY_MAX == [each.times for each in noted.rows()]
    [rest] = noted.rows(after_s=60.0)
    assert (5_000 - SINGLY_MAX, f"r{SINGLY_MAX + 1}") == (rest.times, rest.request_id)
    assert (SINGLY_MAX + 1, 5_000 - SINGLY_MAX - 1, 0) == noted.ends()
    assert SINGLY_MAX + 1 == noted.asked, "who has no row is not looked at"
    noted.note(bad_key())
    assert [1] == [each.times for each in noted.rows()], "the next minute begins anew"


def test_keys_statuses_and_codes_are_told_apart() -> None:
    """A flood of one kind takes no row from another."""
    noted = Noted()
    noted.note(bad_key(), times=100)
    noted.note(rate_limited("this key", 1.0), "key_a", times=100)
    noted.note(rate_limited("this key", 1.0), "key_b")
    noted.note(invalid("no"), "key_b")
    rows = noted.rows()
    assert 2 * SINGLY_MAX + 2 == len(rows)
    assert [("key_b", 429), ("key_b", 400)] == [(each.key_id, each.status) for each in rows[-2:]]


def test_a_key_has_so_many_rows_a_minute() -> None:
    """Whoever shows none that is known is one; others have rows left, up to those of all."""
    noted = Noted()
    for error in kinds(KEY_ROWS_MAX + 7):
        noted.note(error)
    assert (KEY_ROWS_MAX, 0, 7) == noted.ends()
    noted.note(kinds(1)[0], times=SINGLY_MAX)
    assert (KEY_ROWS_MAX, 0, 7 + SINGLY_MAX) == noted.ends()
    for key in range(ROWS_MAX):
        noted.note(bad_key(), f"key_{key}")
    assert (ROWS_MAX, 0, 7 + SINGLY_MAX + KEY_ROWS_MAX) == noted.ends()
    assert ROWS_MAX == len(noted.rows())
    noted.now_s += 60.0
    noted.note(kinds(1)[0])
    assert 1 == len(noted.rows())


def test_rows_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody writes: in number, and in bytes by what a row may have."""
    monkeypatch.setattr(refused, "ROWS_MAX", MORE)
    noted, wide = Noted(), "\U0001f600" * MORE
    for minute in range(20):
        noted.now_s = NOON_S + 60.0 * minute
        for key in range(60):
            noted.note(RequestError(400, wide, param=wide), f"key_{key}", model=wide)
    rows = noted.refusals.due(MORE)
    assert WAITING_MAX == len(rows)
    assert (WAITING_MAX, 0, 20 * 60 - WAITING_MAX) == noted.ends()
    texts = [(each.message, each.model, each.param or "", each.route) for each in rows]
    assert 5_000 * WAITING_MAX > sum(sys.getsizeof(text) for row in texts for text in row)


def test_rows_stay_until_they_are_written() -> None:
    """In their order; what comes meanwhile is behind them."""
    noted = Noted()
    noted.note(bad_key(), times=3)
    assert ["r1", "r2"] == [each.request_id for each in noted.refusals.due(2)]
    noted.note(bad_key())
    noted.refusals.done(2)
    assert ["r3", "r4"] == [each.request_id for each in noted.refusals.due(MORE)]
    noted.refusals.gave_way(noted.refusals.due(MORE))
    assert 2 == noted.ends()[-1]


def test_all_of_them_at_the_end() -> None:
    """Also those whose minute is not over."""
    noted = Noted()
    noted.note(bad_key(), times=20)
    assert 20 == sum(each.times for each in noted.refusals.due(MORE, all_of_them=True))


def test_nothing_is_kept_where_nothing_shall_be() -> None:
    noted = Noted(kept=False)
    noted.note(bad_key(), times=20)
    assert ([], 0, (0, 0, 0)) == (noted.rows(after_s=60.0), noted.asked, noted.ends())


def test_a_key_that_is_over_is_told_by_its_id() -> None:
    """The caller hears nothing of it."""
    noted = Noted()
    noted.note(bad_key("key_gone"))
    [row] = noted.rows()
    assert ("key_gone", errors.bad_key().message) == (row.key_id, row.message)


def test_what_callers_write_is_cut_and_masked() -> None:
    """A model, a path or a message with a key in it, with lines, with half a character, or long."""
    for text, expected in (
        (f"The model '{KEY}' does not exist", "The model 'sk-… does not exist"),
        (f"/v1/{KEY}/completions", "/v1/sk-…"),
        (f"/m/key_{KEY}", "/m/key_sk-…"),
        (f"/m/Bearer{KEY}", "/m/Bearersk-…"),
        ("/m/key_sk-0123456789", "/m/key_sk-…"),
        ("desk-0123456789", "desk-0123456789"),
        ("a\r\nb\x00\x1b[2J\u2028c\ud800", "a b [2J c "),
        ("", ""),
        ("x" * NAME_CHARS_MAX, "x" * NAME_CHARS_MAX),
        ("x" * MORE, "x" * (NAME_CHARS_MAX - 1) + "…"),
    ):
        assert expected == shown(text, NAME_CHARS_MAX)
    for before in range(2 * NAME_CHARS_MAX + 1):
        assert KEY[:12] not in shown("é" * before + KEY, NAME_CHARS_MAX)
    assert MESSAGE_CHARS_MAX == len(shown("x" * MORE, MESSAGE_CHARS_MAX))


def test_the_model_of_a_body_that_nobody_read() -> None:
    """Where it is short and names one; anything else is no model."""
    for body, model in (
        (b'{"prompt": "a", "model": "m"}', "m"),
        (b'{"model": null}', ""),
        (b'{"model": 7}', ""),
        (b'{"model": "m"', ""),
        (b'{"model": "\xff"}', ""),
        (b"[" * 40_000, ""),
        (b"", ""),
        (json.dumps({"model": "m", "prompt": "x" * BODY_BYTES_MAX}).encode(), ""),
    ):
        assert model == model_in(body), body[:40]
