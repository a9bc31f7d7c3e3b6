"""What `baton doctor` looks at of the server on which nodes count rates together."""

import asyncio

import redis.asyncio
import redis.exceptions

from baton.admission.shared_counters import FAILURES, client
from baton.cli.checks import Finding
from baton.config import Settings, SettingsError

ANSWER_S = 5.0
TRIAL = """
redis.call('SET', KEYS[1], '1', 'PX', 1)
return redis.call('TIME')
"""
"""What counting needs of a server: scripts that write, to names of Baton's own."""
TRIED = "baton:doctor"
REFUSED = (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)
ADDRESS_REMEDY = (
    "look at BATON_REDIS_URL, and whether the server takes connections from here: each machine "
    "counts by itself until it does"
)
USER_REMEDY = (
    "look at user and password in BATON_REDIS_URL, and at what that user may do: eval, evalsha, "
    "get, set, time, zadd, zcard and zremrangebyscore, on keys that begin with 'baton:'"
)
PRIMARY_REMEDY = "have BATON_REDIS_URL name the server that takes changes: this one is a copy of it"


def shared_rates(settings: Settings, answer_s: float = ANSWER_S) -> Finding:
    """Whether it answers, takes the password, and can count. No password is told."""
    try:
        server = client(settings.redis_url, answer_s)
    except SettingsError as error:
        return Finding("rates", "failed", str(error), "write it so, or take it away")
    where = _place(server)
    try:
        version = asyncio.run(_tried(server))
    except FAILURES as error:
        return Finding("rates", "failed", f"{where}: {_why(error, answer_s)}", _remedy(error))
    return Finding("rates", "ok", f"{version} at {where} counts")


async def _tried(server: redis.asyncio.Redis) -> str:
    """What answers there, by its version where it may tell. Raises FAILURES."""
    try:
        await server.eval(TRIAL, 1, TRIED)
        try:
            told = await server.info("server")
        except redis.exceptions.ResponseError:
            return "a server that tells no version"
        name, version = told.get("server_name", "redis"), told.get("redis_version", "")
        return f"{name} {told.get('valkey_version', version)}"
    finally:
        await server.aclose()


def _place(server: redis.asyncio.Redis) -> str:
    """Where it is, without who asks."""
    named = server.connection_pool.connection_kwargs
    found = {"host": "localhost", "port": 6379, "db": 0, **named}
    return found["path"] if "path" in found else "{host}:{port}/{db}".format_map(found)


def _why(error: Exception, answer_s: float) -> str:
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return f"no answer in {answer_s:g} s"
    return str(error)


def _remedy(error: Exception) -> str:
    if isinstance(error, REFUSED):
        return USER_REMEDY
    return PRIMARY_REMEDY if isinstance(error, redis.exceptions.ReadOnlyError) else ADDRESS_REMEDY
