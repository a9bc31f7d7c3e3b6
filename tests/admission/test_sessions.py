"""Tokens of the console: ours open, others do not, and none without its mark."""

import pytest

from baton.admission.sessions import Sessions, parts, shown, token_in
from baton.stores.vault import Vault

DIGEST = b"d" * 32
NOW_S = 1_000.0


def sessions(master: bytes = b"m" * 32) -> Sessions:
    return Sessions(Vault(master).derive("session"), lasts_s=60.0)


def test_a_token_says_whose_it_is_until_it_ends() -> None:
    token = sessions().begin(DIGEST, NOW_S)
    found = sessions().open(token, NOW_S + 59)
    assert found is not None
    assert (DIGEST, NOW_S + 60) == (found.digest, found.ends_s)
    assert sessions().open(token, NOW_S + 60) is None


@pytest.mark.parametrize("change", [str.swapcase, lambda t: t[:-2], lambda t: t * 99, lambda t: ""])
def test_what_is_not_ours_does_not_open(change: object) -> None:
    """Changed, cut, too long, empty, or sealed with another master key."""
    token = sessions().begin(DIGEST, NOW_S)
    assert sessions().open(change(token), NOW_S) is None  # type: ignore[operator]
    assert sessions(b"n" * 32).open(token, NOW_S) is None


@pytest.mark.parametrize("token", ["%%%", "é", "AAAA", "a" * 100])
def test_garbage_is_no_session(token: str) -> None:
    assert sessions().open(token, NOW_S) is None


def test_a_cookie_alone_shows_nothing() -> None:
    """Any page makes a browser send it; the mark is what pages of ours know."""
    one = sessions()
    token = one.begin(DIGEST, NOW_S)
    cookies = f"a=b; baton_session={token}; c=d".encode()
    assert token == token_in(cookies)
    assert shown(cookies, None) is None
    assert shown(b"a=b", b"mark") is None
    found = shown(cookies, one.mark(token).encode())
    assert found is not None
    assert (token, one.mark(token)) == parts(found)
    assert one.proved(token, one.mark(token))
    assert not one.proved(token, one.mark(token + "x"))
    assert not one.proved(token, "é")


def test_keys_are_no_sessions() -> None:
    assert parts(b"Bearer sk-bt-1") is None


def test_a_value_on_its_way() -> None:
    """Opened about what it was concealed for, until its time is over; it is no session, and no
    session is one."""
    token = sessions().conceal("sk-bt-value", "key_1 for key_2", NOW_S)
    assert "sk-bt-value" == sessions().revealed(token, "key_1 for key_2", NOW_S + 119)
    assert sessions().revealed(token, "key_1 for key_2", NOW_S + 120) is None
    assert sessions().revealed(token, "key_1 for key_3", NOW_S) is None
    assert sessions(b"n" * 32).revealed(token, "key_1 for key_2", NOW_S) is None
    assert sessions().open(token, NOW_S) is None
    assert sessions().revealed(sessions().begin(DIGEST, NOW_S), "", NOW_S) is None
