"""Sessions at the gate: a cookie and its mark are the key that signed in, for as long as that is
valid.
"""

import asyncio
import pathlib

import pytest

from baton.admission import issue
from baton.admission.counters import MachineCounters
from baton.admission.gate import Gate, credential
from baton.errors import RequestError
from baton.stores.book import Store
from tests.bookkeeping import new_store


def gate_of(store: Store, session_s: float = 60.0) -> Gate:
    return Gate(store, MachineCounters(store.home / "run/rates"), session_s=session_s)


def refused(gate: Gate, cookies: bytes | None) -> bool:
    with pytest.raises(RequestError) as error:
        asyncio.run(gate.signed_in(cookies))
    return error.value.status == 401


def test_a_session_stands_for_its_key(tmp_path: pathlib.Path) -> None:
    """With its own mark; with another it is nobody, and after the key's end too."""
    store = new_store(tmp_path)
    record, value = issue.create(store, "k", "test")
    gate = gate_of(store)
    caller, token = asyncio.run(gate.sign_in(value))
    cookies = f"a=b; baton_session={token}".encode()
    _, mark = asyncio.run(gate.signed_in(cookies))
    shown = credential([(b"cookie", cookies), (b"x-baton-csrf", mark.encode())])
    assert {record.id} == {caller.record.id, asyncio.run(gate.identify(shown)).record.id}
    forged = credential([(b"cookie", cookies), (b"x-baton-csrf", b"0" * 32)])
    with pytest.raises(RequestError):
        asyncio.run(gate.identify(forged))
    store.keys.revoke(record.id, "test")
    gate.changed([record.id])
    assert refused(gate, cookies)
    assert refused(gate, None)


def test_a_session_ends_by_itself(tmp_path: pathlib.Path) -> None:
    store = new_store(tmp_path)
    _, value = issue.create(store, "k", "test")
    gate = gate_of(store, session_s=0.0)
    _, token = asyncio.run(gate.sign_in(value))
    assert refused(gate, f"baton_session={token}".encode())


def test_a_key_in_a_header_comes_before_a_session() -> None:
    headers = [(b"cookie", b"baton_session=t"), (b"x-baton-csrf", b"m"), (b"x-api-key", b"k")]
    assert b"Bearer k" == credential(headers)
    assert b"Session t m" == credential(headers[:2])
