"""`baton serve`, from the settings to a running supervisor: socket, store, model, banner."""

import contextlib
import errno
import importlib
import os
import pathlib
import socket
from collections.abc import Callable, Sequence

import msgspec

from baton import reloading
from baton.admission import keys
from baton.child import MODULE
from baton.config import ADMIN_KEY_FILE, FIRST_KEY_FILE, Settings, SettingsError
from baton.engine.models import ModelError, ModelFile, resolve
from baton.errors import BatonError
from baton.listening import CannotListen, bind_all, too_long, within_machine
from baton.misset import misspelt
from baton.running import marked
from baton.staged import NO_PROCESS, Staged
from baton.stores import glance
from baton.stores.base import StoreUnavailable
from baton.stores.master import master_key
from baton.supervisor import Reread, Supervisor, as_they_are, say

ACCESS_LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
"""As `telemetry/log.py` opens it, which would load asyncio here; but waiting for nobody."""


def serve(settings: Settings, first: Staged | None = None, reread: Reread = as_they_are) -> int:
    """Run until stopped; returns the exit status. Says what is wrong instead of a traceback.

    `first`: a worker that loads already. It is the caller's to end where nothing came of it.
    `reread`: see `reloads`; without it a reload goes on with these settings."""
    if (wrong := misset(settings)) is not None:
        say(wrong)
        return 1
    try:
        listeners = bind_all(settings)
    except CannotListen as error:
        say(str(error))
        return 1
    settings = _with_ports(settings, listeners)
    supervisor = Supervisor(settings, listeners, first)
    try:
        supervisor.start_ahead()  # on another core they load while the rest is made ready
    except OSError as error:
        _abandon(supervisor)
        say(f"{NO_PROCESS}: {error.strerror}")
        return 1
    try:
        first_key = prepare_home(settings)
    except (BatonError, OSError) as error:
        _abandon(supervisor)
        say(f"cannot use {_place(settings, error)}: {error}")
        return 1
    _warn(settings, listeners)
    model = find_model(settings)
    if model is not None:  # what a former engine left there is not of this one
        for left in (settings.engine_socket, settings.engine_died):
            left.unlink(missing_ok=True)
    settings = msgspec.structs.replace(settings, model=model.public_name if model else "none")
    command = None if model is None else engine_command(settings, model)

    def announce() -> None:
        """With what runs: a model that the engine could not load does not."""
        runs = model if supervisor.settings.model != "none" else None
        _banner(settings, first_key, runs)

    with marked(settings.home_path):
        return supervisor.run(settings, command, announce, reread)


def reloads(began: Settings, read: Callable[[], Settings]) -> Reread:
    """Those that `read` finds at a reload, as far as they can change without a restart. What it
    finds is said by name, and no value."""

    def reread(runs: Settings) -> Settings | None:
        try:
            found = reloading.taken(runs, began, read())
            wrong = misset(found.settings)
        except SettingsError as error:
            wrong = str(error)
        if wrong is not None:
            say(f"nothing is reloaded: {wrong}")
            return None
        _say_settings("new with this reload", found.changed)
        _say_settings("WARNING: a restart is needed for", found.waiting)
        for text in found.settings.idle():
            say(f"WARNING: {text}")
        return found.settings

    return reread


def _say_settings(what: str, names: Sequence[str]) -> None:
    if names:
        say(f"{what}: {', '.join(f'BATON_{name.upper()}' for name in names)}")


def _with_ports(settings: Settings, listeners: Sequence[socket.socket]) -> Settings:
    """With the ports that were taken where any would do."""
    port, *others = (listener.getsockname()[1] for listener in listeners)
    host = settings.admin_listen.rpartition(":")[0]
    admin = f"{host}:{others[0]}" if others else ""
    return msgspec.structs.replace(settings, port=port, admin_listen=admin)


def _abandon(supervisor: Supervisor) -> None:
    """Nothing has begun."""
    supervisor.abandon()
    for listener in supervisor.listeners:
        listener.close()


def prepare_home(settings: Settings) -> str | None:
    """Make the folders and the store, and the first keys at the first start.

    The first key's value, where it is still known (it is kept in `FIRST_KEY_FILE`).
    """
    home = settings.home_path
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    glance.refuse_earlier(home / glance.JOURNALS)
    if not _prepared(settings):
        _make_book(settings)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (home / FIRST_KEY_FILE).read_text(encoding="ascii").strip()
    return None


def _prepared(settings: Settings) -> bool:
    """Whether the book is an embedded one that has this version's schema and these keys already,
    as after the first start. It is asked without what the book itself is used with, which takes
    longer to load than all of this. Raises StoreError."""
    book = settings.home_path / glance.FILE_NAME
    if settings.database_url or settings.journal != "local" or glance.revision(book) != glance.HEAD:
        return False
    master_key(settings.master_key, settings.home_path)
    stored = glance.keys(book)
    wanted = (("user", settings.bootstrap_key), ("admin", settings.admin_key))
    return all(
        any(digest == keys.digest(value) if value else held == role for held, digest in stored)
        for role, value in wanted
    )


def _make_book(settings: Settings) -> None:
    """Bring the book up to this version, and put the first keys into it."""
    open_store = importlib.import_module("baton.stores.book").open_store
    bootstrap = importlib.import_module("baton.admission.issue").bootstrap
    home, store = settings.home_path, open_store(settings)
    try:
        made = bootstrap(store, settings)
    finally:
        store.close()
    for value, kind, name in (
        (made.key, "a first key", FIRST_KEY_FILE),
        (made.admin_key, "an admin key, for the console", ADMIN_KEY_FILE),
    ):
        if value is not None:
            _write_private(home / name, value)
            if value not in (settings.bootstrap_key, settings.admin_key):
                say(f"made {kind}; it is kept in {home / name} until you delete that file")


def find_model(settings: Settings) -> ModelFile | None:
    """The embedded model's file; None when it is switched off or cannot be had (said why)."""
    try:
        model = resolve(settings)
        if model is not None and (why := too_long(settings)) is not None:
            raise ModelError(why)
        return model
    except ModelError as error:
        say(str(error))
        say("Baton starts without the embedded model; configured upstreams are served.")
        return None


def engine_command(settings: Settings, model: ModelFile) -> list[str]:
    """How the supervisor starts the engine."""
    words = [*MODULE, "baton.engine"]
    words += ["--socket", str(settings.engine_socket)]
    words += ["--model", str(model.path), "--sha256", model.sha256]
    words += ["--threads", str(settings.engine_threads)]
    words += ["--sequences", str(settings.engine_sequences)]
    words += ["--context-tokens", str(settings.engine_context_tokens)]
    words += ["--gpu-layers", str(settings.engine_gpu_layers)]
    words += ["--queue-max", str(settings.engine_queue_max)]
    words += ["--prefill-budget-ms", str(settings.prefill_budget_ms)]
    words += ["--deterministic"] * settings.engine_deterministic
    return words + ["--no-speculation"] * (not settings.engine_speculation)


def misset(settings: Settings) -> str | None:
    """What is wrong with a setting that nothing but a start uses; a key's value is not told."""
    if (why := _unwritable(settings.access_log)) is not None:
        return f"BATON_ACCESS_LOG: {settings.access_log} cannot be written: {why}"
    if settings.admin_url and not settings.admin_listen:
        return "BATON_ADMIN_URL needs BATON_ADMIN_LISTEN: without it operators use BATON_PUBLIC_URL"
    return keys.misset(settings.bootstrap_key, settings.admin_key)


def _place(settings: Settings, error: Exception) -> str:
    """What could not be used, by its setting."""
    if settings.database_url and isinstance(error, StoreUnavailable):
        return "the database of BATON_DATABASE_URL"
    return f"the data folder {settings.home}"


def _unwritable(access_log: str) -> str | None:
    """Why lines cannot be written there; later, what serves goes on without them."""
    if access_log in ("", "-"):
        return None
    try:
        os.close(os.open(access_log, ACCESS_LOG_FLAGS, 0o640))
    except OSError as error:
        return None if error.errno == errno.ENXIO else error.strerror  # a pipe nobody reads yet
    return None


def _warn(settings: Settings, listeners: Sequence[socket.socket]) -> None:
    for text in (*misspelt(os.environ, Settings.__struct_fields__), *settings.idle()):
        say(f"WARNING: {text}")
    if settings.tls_certificate_file:
        return
    for said, listener in zip((settings.host, settings.admin_listen), listeners, strict=False):
        if not within_machine(listener.getsockname()[0]):
            say(f"WARNING: {said} is reachable from outside and speaks no TLS: keys and texts")
            say("cross the network in the clear unless a proxy in front adds TLS.")


def _banner(settings: Settings, first_key: str | None, model: ModelFile | None) -> None:
    """Address, key and a line to paste, once everything runs."""
    lines = [
        "",
        f"Baton is ready at {settings.address}",
        f"  docs     {settings.address}/docs",
        f"  console  {settings.admin_address}/console",
    ]
    if first_key is not None:
        lines.append(f"  key      {first_key}")
    if first_key is not None and model is not None:
        body = f'{{"model": "{model.public_name}", "prompt": "Once upon a time", "max_tokens": 32}}'
        lines += [
            "",
            "Try it:",
            f"  curl {settings.address}/v1/completions \\",
            f'    -H "Authorization: Bearer {first_key}" -H "Content-Type: application/json" \\',
            f"    -d '{body}'",
        ]
    # Where nobody reads it, or its disk is full, it serves all the same.
    with contextlib.suppress(OSError):
        print("\n".join(lines), end="\n\n", flush=True)


def _write_private(path: pathlib.Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
