"""The hub's token, where the hub's own client looks for it, with that client's rules.

HF_TOKEN (or HUGGING_FACE_HUB_TOKEN, its name before), else the file that `hf auth login` writes:
HF_TOKEN_PATH, else `token` in HF_HOME, else in `huggingface` in XDG_CACHE_HOME or ~/.cache. With
HF_HUB_DISABLE_IMPLICIT_TOKEN none is sent. Followed: huggingface_hub 2.4.0. Not taken over: it
renews tokens that end (OAuth) and exchanges those of build services (OIDC), here they are as they
are in the file.
"""

import os
import re
from collections.abc import Mapping

import msgspec

from baton.engine.models import NotFetched

NAMES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
FILE_BYTES_MAX = 16 * 1024
TRUE = ("1", "ON", "YES", "TRUE")


class Token(msgspec.Struct, frozen=True):
    value: str = ""
    place: str = NAMES[0]
    """What an operator changes to have another one."""


def of(environment: Mapping[str, str]) -> Token:
    """The token that is to be sent; an empty one is none. Raises NotFetched; no value is said."""
    if is_true(environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "")):
        return Token()
    name = next((name for name in NAMES if environment.get(name)), NAMES[0])
    if found := _cleaned(environment.get(name, ""), name):
        return Token(found, name)
    path = _path(environment)
    found = _cleaned(_read(path), path)
    return Token(found, f"the token in {path}") if found else Token()


def is_true(value: str) -> bool:
    return value.upper() in TRUE


def _path(environment: Mapping[str, str]) -> str:
    """Variables within and ~ are those of this process, as there."""
    cache = environment.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = environment.get("HF_HOME") or os.path.join(cache, "huggingface")
    path = environment.get("HF_TOKEN_PATH") or os.path.join(_expanded(home), "token")
    return _expanded(path)


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))


def _read(path: str) -> str:
    """ "" where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(FILE_BYTES_MAX).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        why = f"{path} cannot be read ({error.strerror}): give it to the user that runs Baton"
        raise NotFetched(f"the hub's token in {why}, or set HF_TOKEN") from None


def _cleaned(text: str, place: str) -> str:
    token = text.replace("\r", "").replace("\n", "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise NotFetched(f"{place} holds characters that no token has")
    return token
