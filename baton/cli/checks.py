"""What `baton doctor` looks at, one function a check: what was found, and what to do about it.

Each check looks and returns; none changes anything, none raises for what it finds.
"""

import asyncio
import contextlib
import errno
import http.client
import os
import pathlib
import platform
import shutil
import ssl
import stat
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from baton import webhooks
from baton.admission.origins import trusted
from baton.cli.calling import call
from baton.config import ADMIN_KEY_FILE, FIRST_KEY_FILE, Settings, SettingsError
from baton.engine import models
from baton.engine.model_file import fault
from baton.errors import BatonError
from baton.ledger.audit import journals
from baton.listening import Place, bind, places, refusal, resolved, too_long, within_machine
from baton.model_names import split_paths
from baton.probes import question
from baton.running import running
from baton.serve import misset
from baton.stores import glance, migrate
from baton.stores.audit import damaged
from baton.stores.base import StoreError, Unsealable, UpstreamRecord
from baton.stores.book import Store, book_path, book_place, journal_folder
from baton.stores.database import TAKES_NO_CHANGES, Database, name
from baton.stores.master import FILE_NAME, NEXT_NAME
from baton.upstreams import registry
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.web.front import Alive
from baton.working import configured

State = Literal["ok", "warning", "failed"]

LIBRARY_TIMEOUT_S = 60.0
ANSWER_LIMITS = TransportLimits(
    connect_timeout_s=5.0, first_byte_timeout_s=5.0, total_timeout_s=5.0
)
FREE_BYTES_MIN = 1024**3
CPU_FLAGS = frozenset({"avx", "avx2", "fma", "f16c", "bmi2"})
"""What the x86-64 build of the engine's library is compiled for."""
SECRET_FILES = (FILE_NAME, NEXT_NAME, FIRST_KEY_FILE, ADMIN_KEY_FILE)
ALIVE_TIMEOUT_S = 2.0
MASTER_KEY_REMEDY = (
    "put master.key or BATON_MASTER_KEY back as it was (where there is a master.key.next, run"
    " `baton store rekey` again); where it is lost, `baton upstream remove` each one that has a"
    " key, and add it again"
)
LOAD_LIBRARY = "from baton.engine.llama import load_library; print(load_library().build)"


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    check: str
    state: State
    message: str
    remedy: str = ""


def python() -> Finding:
    """Nothing to fail: an older Python could not have installed Baton."""
    version = platform.python_version()
    return Finding("python", "ok", f"{version} on {platform.system()} {platform.machine()}")


def cpu(cpuinfo: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> Finding:
    """The library dies by SIGILL where these are missing, so they are looked up beforehand."""
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return Finding("cpu", "ok", f"{platform.machine()}: nothing to check")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    if missing := sorted(CPU_FLAGS - flags):
        remedy = "set BATON_MODEL=none and add an upstream: the embedded engine cannot run here"
        return Finding("cpu", "failed", f"the processor lacks {', '.join(missing)}", remedy)
    return Finding("cpu", "ok", "has AVX2, FMA and F16C")


def settings_together(settings: Settings) -> Finding:
    """What the start finds wrong with settings beyond each one's own kind, and what it warns of."""
    try:
        wrong = misset(settings)
        if wrong is None:
            trusted(settings.trusted_proxies)
            webhooks.address(settings)
            configured(settings, _nobody, asyncio.Protocol)
    except SettingsError as error:
        wrong = str(error)
    except ValueError as error:
        wrong = f"BATON_TRUSTED_PROXIES: {error}"
    if wrong is not None:
        return Finding("settings", "failed", wrong, "`baton serve` does not start with that")
    if settings.journal == "shared" and not settings.database_url:
        what, remedy = "BATON_JOURNAL=shared needs BATON_DATABASE_URL", "set it, or local"
        return Finding("settings", "failed", what, remedy)
    if said := settings.idle():
        return Finding("settings", "warning", "; ".join(said), "set the other, or neither")
    return Finding("settings", "ok", "fit each other")


async def _nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Serves nothing."""


def library(settings: Settings, code: str = LOAD_LIBRARY) -> Finding:
    """Loaded in a process of its own, since a library of the wrong kind may take it down."""
    if settings.model.lower() == models.NONE:
        return Finding("library", "ok", "not needed: BATON_MODEL is none")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIBRARY_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return Finding("library", "failed", f"no answer in {LIBRARY_TIMEOUT_S:g} s", "try again")
    if done.returncode == 0:
        return Finding("library", "ok", f"llama.cpp {done.stdout.strip()} loads")
    lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
    remedy = "install libgomp1 (Debian) or libgomp (Fedora), then run `make serve` again"
    if "libgomp" not in done.stderr:
        remedy = "remove .venv and run `make serve` again, or set BATON_MODEL=none"
    return Finding("library", "failed", lines[-1], remedy)


def model(settings: Settings) -> Finding:
    place = models.locate(settings)
    if place is None:
        return Finding("model", "ok", "none: only upstreams answer")
    if place.unusable:
        remedy = "set BATON_MODEL to another one; `baton model fetch --newest` asks for it again"
        return Finding("model", "failed", f"{place.source}: {place.unusable}", remedy)
    if place.path is None or (place.source and not place.fetched):
        remedy = "`baton model fetch` gets it now, `baton serve` at its start"
        what = f"{place.public_name} is not fetched yet from {place.source}"
        return Finding("model", "warning", what, remedy)
    for path in map(place.path.with_name, split_paths(place.path.name)):
        try:
            wrong = fault(path)
        except OSError as error:
            remedy = "set BATON_MODEL to a GGUF file that can be read, or to none"
            return Finding("model", "failed", f"{path}: {error.strerror}", remedy)
        if wrong is not None:
            return Finding("model", "failed", wrong, "remove the file and fetch it again")
    source = f" from {place.source}" if place.source else ""
    return Finding("model", "ok", f"{place.public_name} ({place.path}){source}")


def folder(settings: Settings) -> Finding:
    home = settings.home_path
    if not home.exists():
        return Finding("folder", "ok", f"{home} will be made at the first start")
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        remedy = "give it to the user that runs Baton, or set BATON_HOME to another folder"
        return Finding("folder", "failed", f"{home} is no folder that can be written", remedy)
    if settings.model.lower() != models.NONE and (why := too_long(settings)) is not None:
        remedy = "set BATON_HOME to a shorter path, or BATON_MODEL to none"
        return Finding("folder", "failed", why, remedy)
    if (free := shutil.disk_usage(home).free) < FREE_BYTES_MIN:
        remedy = "make room: without it the ledger cannot be written, and nothing is answered"
        return Finding("folder", "warning", f"{free // 2**20} MiB free at {home}", remedy)
    for path in (home, *(home / file for file in SECRET_FILES)):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            remedy = f"chmod {'700' if path.is_dir() else '600'} {path}"
            return Finding("folder", "warning", f"{path} can be read by others", remedy)
    return Finding("folder", "ok", str(home))


def store(settings: Settings, opened: Callable[[], Store]) -> tuple[Finding, list[UpstreamRecord]]:
    """The book, and the upstreams in it (none where it cannot be read)."""
    on_server, file = bool(settings.database_url), book_path(settings.home_path)
    if not on_server and not file.exists():
        return Finding("store", "ok", "will be made at the first start"), []
    remedy = "restore it from a backup, or see that this user may write in BATON_HOME"
    if on_server:
        remedy = "look at BATON_DATABASE_URL, and whether PostgreSQL takes connections from here"
    try:
        if (found := _unfit(settings, remedy)) is not None:
            return found, []
        with contextlib.closing(opened()) as book:
            upstreams = book.upstreams.all(secrets=True)
            where = name(book.database.place)
            _, forgotten = journals(book.database, settings.home_path)
    except (BatonError, OSError) as error:
        remedy = MASTER_KEY_REMEDY if isinstance(error, Unsealable) else remedy
        return Finding("store", "failed", str(error), remedy), []
    if not on_server and damaged(file):
        return Finding("store", "failed", f"the book {where} is damaged", remedy), upstreams
    if forgotten:
        remedy = "start Baton: it folds what it can read; for a damaged file see its message"
        return Finding("store", "failed", "; ".join(forgotten), remedy), upstreams
    return Finding("store", "ok", f"{where} is whole; upstreams: {len(upstreams)}"), upstreams


def _unfit(settings: Settings, remedy: str) -> Finding | None:
    """Of a book that this Baton would make or bring up, or does not know, or may not change:
    opening it would change it, or fail. Raises StoreError."""
    try:
        glance.refuse_earlier(journal_folder(settings.home_path))
    except StoreError as error:
        return Finding("store", "failed", str(error), "do that before you start this one")
    book = book_place(settings)
    if not isinstance(book, pathlib.Path):
        with contextlib.closing(Database(book)) as database:
            if not database.takes_changes():
                return Finding("store", "failed", TAKES_NO_CHANGES, remedy)
    present, known = migrate.revision(book), migrate.HEAD
    if present == known:
        return None
    if present is None:
        return Finding("store", "ok", f"{name(book)} is empty: the first start makes the tables")
    what = f"{name(book)} has schema {present}, this Baton's is {known}"
    if present > known:
        remedy = f"have the newer Baton move it back: `baton store migrate --to {known}` there"
        return Finding("store", "failed", what, remedy)
    remedy = "the next start, or `baton store migrate`, brings it up: back it up before"
    return Finding("store", "warning", what, remedy)


class Side(NamedTuple):
    """A listener, and how findings name it."""

    name: str
    place: Place
    own_address: str
    address: str
    url_setting: str


def sides(settings: Settings) -> list[Side]:
    """The callers' listener, and that of operators if it is another one."""
    first, *others = places(settings)
    found = [Side("", first, settings.own_address, settings.address, "BATON_PUBLIC_URL")]
    for place in others:
        own, address = settings.own_admin_address, settings.admin_address
        found.append(Side("admin ", place, own, address, "BATON_ADMIN_URL"))
    return found


def port(settings: Settings, side: Side) -> Finding:
    """Free, or taken by a Baton that answers."""
    check, place = f"{side.name}port", side.place
    remedy = f"set {place.port_setting} to a free port, or stop what has it"
    if side.name and settings.port and place[:2] == (settings.host, settings.port):
        return Finding(check, "failed", f"{place} is the callers', too", remedy)
    try:
        bind(place).close()
    except (OSError, UnicodeError) as error:
        why = refusal(error, place)
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            return Finding(check, "failed", f"{place}: {why}", "change that setting")
    else:
        return Finding(check, "ok", f"{place} is free")
    try:
        answer = call(
            side.own_address, "/healthz", timeout_s=ALIVE_TIMEOUT_S, trust=_any_certificate()
        )
        msgspec.json.decode(answer.read(), type=Alive)
    except TimeoutError:
        if (supervisor := running(settings.home_path)) is not None:
            return _silent(check, place, supervisor)
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        pass  # another program
    else:
        return Finding(check, "ok", f"a Baton answers at {place}")
    return Finding(check, "failed", f"{place} is another program's", remedy)


def _any_certificate() -> ssl.SSLContext:
    """One's own is for the public name, not for the address it listens on. No secret is sent."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    return trust


def _silent(check: str, place: Place, supervisor: int) -> Finding:
    what = f"the Baton there (process {supervisor}) has not answered in {ALIVE_TIMEOUT_S:g} s"
    remedy = "its workers hang, or have far too much to do: restart it if that does not end"
    return Finding(check, "failed", f"{place}: {what}", remedy)


def upstream(record: UpstreamRecord) -> Finding:
    """Whether it answers what a probe asks (`baton/probes.py`), and takes the key."""
    name = f"upstream {record.name}"
    remedy = f"look at the address with `baton upstream show {record.name}`, and at its server"
    try:
        status = asyncio.run(_status(record))
    except UpstreamError as error:
        return Finding(name, "failed", f"{record.url}: {error.detail or error}", remedy)
    except ValueError as error:
        return Finding(name, "failed", f"{record.url}: {error}", remedy)
    if status in (401, 403):
        remedy = f"give it a valid one: `baton upstream set {record.name} --key -`"
        return Finding(name, "failed", f"{record.url} refuses the key ({status})", remedy)
    if status >= 500:
        return Finding(name, "failed", f"{record.url} answers {status}", remedy)
    return Finding(name, "ok", f"{record.url} answers")


async def _status(record: UpstreamRecord) -> int:
    """Asked as requests ask it: its dialect's way to take a key, its headers, its proxy. Raises
    UpstreamError, and ValueError for a record that cannot be used."""
    asked = registry.build(record, ANSWER_LIMITS)
    try:
        return await asked.status(question(registry.dialect(record.dialect)))
    finally:
        await asked.close()


def address(side: Side) -> Finding:
    """What callers, or operators, are told to use."""
    check = f"{side.name}address"
    try:
        parts = urllib.parse.urlsplit(side.address)
    except ValueError:
        parts = urllib.parse.urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        remedy = f"set {side.url_setting} to what they type, such as https://relay.example.org"
        return Finding(check, "failed", f"{side.address} is no address", remedy)
    if parts.scheme == "http" and not _within_machine(side.place):
        remedy = (
            f"put a proxy with TLS in front and set {side.url_setting}, or set BATON_TLS_*_FILE"
        )
        return Finding(check, "warning", f"{side.address} has no TLS", remedy)
    return Finding(check, "ok", side.address)


def _within_machine(place: Place) -> bool:
    """Whether only this machine can reach it; a host that is none is the port's finding."""
    with contextlib.suppress(OSError, UnicodeError):
        return within_machine(resolved(place))
    return True
