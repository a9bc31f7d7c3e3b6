"""Keys: how they are minted, recognised and stored. Pure; randomness is passed in.

A minted key is `sk-bt-`, 22 base62 characters that hold 128 random bits, and 6 that hold the CRC-32
of all before them: secret scanners know the prefix, and a mistyped key is refused before anybody
looks it up. A key from elsewhere is any `sk-…` of 20 characters or more; only its SHA-256 is ever
stored, which suffices for what nobody can guess.
"""

import hashlib
import re
import zlib

PREFIX = "sk-bt-"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_BYTES = 16
RANDOM_CHARACTERS = 22
"""62**22 > 2**128."""
CHECK_CHARACTERS = 6
"""62**6 > 2**32."""
KEY_CHARACTERS_MIN = 20
KEY_CHARACTERS_MAX = 512
LONG_CHARACTERS = 32
"""From here on a key shows 8 first and 4 last characters; a shorter one 5 and 2."""

_SHAPE = re.compile(r"sk-[!-~]+")
WANTED = (
    f"a key is `sk-` and more, {KEY_CHARACTERS_MIN} to {KEY_CHARACTERS_MAX} printable characters"
    f" in all (with its checksum, if it starts with `{PREFIX}`), or a SHA-256 in hex"
)
"""What is said where something else is given for one."""


def mint(randomness: bytes) -> str:
    """A new key from 16 random bytes."""
    assert len(randomness) == RANDOM_BYTES
    body = PREFIX + _base62(int.from_bytes(randomness), RANDOM_CHARACTERS)
    return body + check(body)


def check(body: str) -> str:
    """The six characters that end a minted key."""
    return _base62(zlib.crc32(body.encode()), CHECK_CHARACTERS)


def plausible(value: str) -> bool:
    """Whether it may be a key at all. Only what starts like ours must have our checksum."""
    if not KEY_CHARACTERS_MIN <= len(value) <= KEY_CHARACTERS_MAX or not _SHAPE.fullmatch(value):
        return False
    if not value.startswith(PREFIX):
        return True
    return check(value[:-CHECK_CHARACTERS]) == value[-CHECK_CHARACTERS:]


def digest(value: str) -> bytes:
    """What is stored and looked up."""
    return hashlib.sha256(value.encode()).digest()


def shown(value: str) -> tuple[str, str]:
    """First and last characters, by which people recognise a key."""
    if len(value) >= LONG_CHARACTERS:
        return value[:8], value[-4:]
    return value[:5], value[-2:]


def parse_digest(text: str) -> bytes | None:
    """A SHA-256 in hex, as another relay may export its keys; None if it is none."""
    text = text.strip().removeprefix("sha256:")
    return bytes.fromhex(text) if re.fullmatch(r"[0-9a-fA-F]{64}", text) else None


def stored_as(value_or_digest: str) -> tuple[bytes, tuple[str, str]] | None:
    """Digest, and what it is shown by, of a key given by its value or by the SHA-256 of that; None
    for what is neither."""
    found = parse_digest(value_or_digest)
    if found is not None:
        return found, (f"sha256:{found.hex()[:6]}", found.hex()[-4:])
    if plausible(value_or_digest):
        return digest(value_or_digest), shown(value_or_digest)
    return None


def misset(first: str, admin: str) -> str | None:
    """What is wrong with the settings of the first keys, "" where one is not set; None: nothing.
    What they hold is not told."""
    for name, value in (("BATON_BOOTSTRAP_KEY", first), ("BATON_ADMIN_KEY", admin)):
        if value and not plausible(value) and parse_digest(value) is None:
            return f"{name} is no key: {WANTED}"
    return None


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    assert number == 0
    return "".join(reversed(digits))
