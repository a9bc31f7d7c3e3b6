"""HTTP from a command to a Baton or an upstream: one request, one answer."""

import http.client
import ssl
import urllib.parse
from collections.abc import Mapping

import msgspec

from baton.cli.main import CommandError
from baton.config import ADMIN_KEY_FILE, FIRST_KEY_FILE, Settings
from baton.errors import ErrorBody

TIMEOUT_S = 60.0


def call(
    base: str,
    path: str,
    key: str | None = None,
    body: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
    trust: ssl.SSLContext | None = None,
) -> http.client.HTTPResponse:
    """The answer, whatever its status, with its body still to be read. `trust` says which
    certificates do; None: those that the system trusts.

    Raises OSError, http.client.HTTPException or ValueError when there is none."""
    connection = connection_to(base, timeout_s, trust)
    method = "GET" if body is None else "POST"
    headers = headers_of(key, body) | {"Connection": "close"}
    try:
        connection.request(method, target(base, path), body, headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        raise


def target(base: str, path: str) -> str:
    """The path below that of the base address."""
    return f"{urllib.parse.urlsplit(base).path.rstrip('/')}{path}"


def headers_of(key: str | None, body: bytes | None) -> dict[str, str]:
    headers = {"User-Agent": "baton"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def connection_to(
    base: str, timeout_s: float, trust: ssl.SSLContext | None = None
) -> http.client.HTTPConnection:
    """Not yet connected. Raises ValueError for an address that is none."""
    parts = urllib.parse.urlsplit(base)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = trust or ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def answered(
    base: str,
    path: str,
    key: str | None,
    body: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
) -> http.client.HTTPResponse:
    """A 200 answer of a Baton. CommandError with its own words for everything else."""
    try:
        response = call(base, path, key, body, timeout_s)
    except TimeoutError:
        raise CommandError(
            f"{base} has not answered in {timeout_s:g} s: `baton doctor` on its machine tells more"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(
            f"nothing answers at {base} ({error}): start it with `baton serve`, or name another "
            "address with --url"
        ) from None
    except ValueError as error:  # an address or a key that cannot be written into a request
        raise CommandError(f"{base} cannot be called: {error}") from None
    if response.status == 200:
        return response
    raise CommandError(f"{base} answered {response.status}: {error_message(response.read())}")


def error_message(text: bytes) -> str:
    """The words of an answer that is an error, whoever made it."""
    try:
        return msgspec.json.decode(text, type=ErrorBody).error.message
    except msgspec.DecodeError:
        return text[:500].decode("utf-8", "replace")


def admin_key(settings: Settings) -> str | None:
    """The setting, else what the first start left in the data folder."""
    return settings.admin_key or _kept(settings, ADMIN_KEY_FILE)


def key_for(settings: Settings, given: str | None, environment: Mapping[str, str]) -> str | None:
    """The option, else OPENAI_API_KEY, else the bootstrap key, else what the first start left."""
    chosen = given or environment.get("OPENAI_API_KEY") or settings.bootstrap_key
    if chosen:
        return chosen
    return _kept(settings, FIRST_KEY_FILE)


def _kept(settings: Settings, name: str) -> str | None:
    try:
        return (settings.home_path / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
