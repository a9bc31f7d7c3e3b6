"""The master key: its forms, and that it is made once."""

import base64
import concurrent.futures
import pathlib

import pytest

from baton.stores.base import StoreError
from baton.stores.master import master_key, parse_master_key

MASTER = bytes(range(32))


def test_master_key_forms() -> None:
    """Hex and base64 are the same key; anything else is refused without being shown."""
    assert MASTER == parse_master_key(MASTER.hex())
    assert MASTER == parse_master_key(base64.b64encode(MASTER).decode())
    for wrong in ("", "secretsecret", "00" * 31, base64.b64encode(b"x" * 31).decode(), "ü" * 64):
        with pytest.raises(StoreError) as refused:
            parse_master_key(wrong)
        assert not wrong or wrong not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"half a key", b"\xff\xfe\n"])
def test_a_file_that_is_no_key_is_named(tmp_path: pathlib.Path, content: bytes) -> None:
    """Not the setting, which was not given; nor is a new one made in its place."""
    (tmp_path / "master.key").write_bytes(content)
    with pytest.raises(StoreError, match=f"^{tmp_path}/master.key must be 32 bytes"):
        master_key("", tmp_path)
    assert content == (tmp_path / "master.key").read_bytes()


def test_master_key_is_made_once(tmp_path: pathlib.Path) -> None:
    """Of many processes that start at once one makes the key, and all read it; its mode is 0600."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: master_key("", tmp_path), range(32)))
    assert 1 == len(set(made))
    assert ["master.key"] == [path.name for path in tmp_path.iterdir()]
    assert 0o600 == (tmp_path / "master.key").stat().st_mode & 0o777
    assert MASTER == master_key(MASTER.hex(), tmp_path), "the setting comes first"
