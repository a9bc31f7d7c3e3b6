"""Keys: random enough, recognised by shape, refused early when mistyped."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.admission import keys

randomness = st.binary(min_size=16, max_size=16)


@given(randomness)
def test_minted_keys_are_plausible(random: bytes) -> None:
    """A minted key has its shape, passes its own check and keeps all 128 bits."""
    value = keys.mint(random)
    assert re.fullmatch(r"sk-bt-[0-9A-Za-z]{28}", value)
    assert keys.plausible(value)
    number = 0
    for character in value[6:28]:
        number = number * 62 + keys.ALPHABET.index(character)
    assert random == number.to_bytes(16)


@given(randomness, st.integers(6, 33), st.sampled_from(keys.ALPHABET))
def test_mistyped_character_is_refused(random: bytes, position: int, typed: str) -> None:
    """One wrong character anywhere behind the prefix fails the checksum."""
    value = keys.mint(random)
    changed = value[:position] + typed + value[position + 1 :]
    assert (typed == value[position]) == keys.plausible(changed)


@given(randomness, st.integers(0, 33))
def test_cut_key_is_refused(random: bytes, length: int) -> None:
    """No beginning of a key is a key."""
    assert not keys.plausible(keys.mint(random)[:length])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sk-12345678901234567", True),
        ("sk-1234567890123456", False),
        ("sk-proj-" + "A_b-9" * 30, True),
        ("sk-" + "x" * 509, True),
        ("sk-" + "x" * 510, False),
        ("SK-12345678901234567890", False),
        ("sk-12345678901234567890 ", False),
        ("sk-1234567890\n1234567890", False),
        ("sk-ü12345678901234567890", False),
        ("", False),
    ],
)
def test_keys_from_elsewhere(value: str, expected: bool) -> None:
    """Any printable sk-… of 20 to 512 characters may be a key; the checksum is ours alone."""
    assert expected == keys.plausible(value)


def test_shown_characters_leave_enough_hidden() -> None:
    """What is shown of a key never leaves fewer than 13 of its characters unknown."""
    for length in range(keys.KEY_CHARACTERS_MIN, 100):
        value = "sk-" + "x" * (length - 3)
        head, tail = keys.shown(value)
        assert length - len(head) - len(tail) >= 13
        assert value.startswith(head)
        assert value.endswith(tail)


@given(st.binary(min_size=32, max_size=32))
def test_digests_are_read_in_hex(digest: bytes) -> None:
    """A SHA-256 in hex is one, in either case, with or without its name; nothing else is."""
    for text in (digest.hex(), digest.hex().upper(), f"sha256:{digest.hex()}\n"):
        assert digest == keys.parse_digest(text)
    assert keys.parse_digest(digest.hex()[:-1]) is None
    assert keys.parse_digest("sk-" + digest.hex()) is None


def test_a_value_and_its_digest_are_stored_as_one() -> None:
    """Shown by what is known of it; anything else is no key."""
    value = keys.mint(b"r" * 16)
    digest = keys.digest(value)
    assert (digest, keys.shown(value)) == keys.stored_as(value)
    expected = (digest, (f"sha256:{digest.hex()[:6]}", digest.hex()[-4:]))
    assert [expected] * 2 == [
        keys.stored_as(text) for text in (digest.hex(), f"sha256:{digest.hex()}")
    ]
    assert [None] * 3 == [keys.stored_as(text) for text in ("", "sk-short", digest.hex()[1:])]


def test_digest_is_sha256() -> None:
    """As any other tool computes it, so that keys can be imported by it."""
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert expected == keys.digest("abc").hex()


def test_settings_that_hold_no_key() -> None:
    """The first that is none is named, and not told; a value, its SHA-256 and nothing are well."""
    value = keys.mint(bytes(16))
    assert None is keys.misset("", "")
    assert None is keys.misset(value, keys.digest(value).hex())
    wrong = keys.misset(value, "sk-secret")
    assert wrong is not None
    assert wrong.startswith("BATON_ADMIN_KEY is no key: a key is `sk-` and more")
    assert "secret" not in wrong
