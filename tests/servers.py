"""Debian's own PostgreSQL and Redis, started for the tests: in a temporary folder, as an ordinary
user, on a free port of 127.0.0.1. Never the system's service.

    with postgres() as server:                  a cluster of its own
        url = server.database()                 a new, empty database in it
        server.hang(); server.go_on()           SIGSTOP, SIGCONT for all its processes
        server.kill(); server.start()           kill -9 of the postmaster, and start again
"""

import contextlib
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.running import free_port

DEADLINE_S = 30.0
POLL_S = 0.02
USER = "postgres"
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
OPTIONS = {
    "max_connections": "200",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


def binaries() -> pathlib.Path:
    """Where Debian keeps PostgreSQL's programs: not in the path."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "PostgreSQL is not installed: apt-get install postgresql"
    return found[-1].parent


class Postgres:
    """One cluster. `durable`: with fsync, as it is in earnest. `primary`: whose standby it is."""

    def __init__(
        self, folder: pathlib.Path, durable: bool, primary: "Postgres | None" = None
    ) -> None:
        self.folder, self.port = folder, free_port()
        self._numbers = itertools.count()
        self._options = {
            **OPTIONS,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "fsync": "on" if durable else "off",
        }
        if primary is None:
            self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", USER, "-N")
        else:
            source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", USER]
            self._run("pg_basebackup", "-D", str(self.data), *source, "-R", "-c", "fast", "-N")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> pathlib.Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start the postmaster and wait until it takes connections. After a kill its children may
        still be ending: it is tried again until they are gone."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            process = self._process
            if process is None or process.poll() is not None:
                self._process = self._spawn()
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(POLL_S)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The URL of a new database."""
        return create_database(self.url("postgres"), f"book{next(self._numbers)}")

    def kill(self) -> None:
        """kill -9 of the postmaster; its children notice and end by themselves."""
        assert self._process is not None
        os.kill(self._pid(), signal.SIGKILL)
        self._process.wait(DEADLINE_S)

    def stop_receiving(self) -> None:
        """A standby goes on with what it has of its primary."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + DEADLINE_S
            while connection.execute("SELECT 1 FROM pg_stat_wal_receiver").fetchone():
                assert time.monotonic() < deadline
                time.sleep(POLL_S)

    def promote(self) -> None:
        """A standby becomes the primary."""
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w")

    def hang(self) -> None:
        """Every process of it stops where it is; sockets stay open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """At once: nobody needs the data any more."""
        if self._process is None or self._process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._signal(signal.SIGCONT)
            os.kill(self._pid(), signal.SIGQUIT)
        self._process.wait(DEADLINE_S)

    def _signal(self, number: int) -> None:
        pid = self._pid()
        for each in [pid, *children(pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)

    def _pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def _spawn(self) -> subprocess.Popen[bytes]:
        words = [*ends_with_us(), str(binaries() / "postgres"), "-D", str(self.data)]
        for name, value in self._options.items():
            words += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_user()
            )

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(binaries() / program), *words], capture_output=True, text=True, **as_user()
        )
        assert done.returncode == 0, done.stderr


def create_database(url: str, name: str, template: str = "template1") -> str:
    """Make a database in the cluster of `url`, where it is not there yet; returns its URL."""
    with (
        contextlib.suppress(psycopg.errors.DuplicateDatabase),
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"{url.rpartition('/')[0]}/{name}"


@contextlib.contextmanager
def postgres(
    *, durable: bool = False, place: str | None = None, primary: Postgres | None = None
) -> Iterator[Postgres]:
    """A running cluster, gone with all its data at the end; `place`: where its folder is."""
    with user_folder(place) as folder:
        server = Postgres(folder, durable, primary)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def pgbouncer(server: Postgres, mode: str) -> Iterator[str]:
    """A pooler with one connection to the server for each database; the URL of one before which
    clients name a database."""
    assert PGBOUNCER is not None
    port = free_port()
    with user_folder() as folder:
        users, settings = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"{USER}" ""\n')
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\ndefault_pool_size = 1\n"
        )
        words = [*ends_with_us(), PGBOUNCER, "--quiet", str(settings)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, **as_user())
        try:
            _until_it_listens(port)
            yield f"postgresql://{USER}@127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(DEADLINE_S)


class Redis:
    """One server without persistence."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "Redis is not installed: apt-get install redis-server"
        words = [*ends_with_us(), program, "--port", str(self.port), "--bind", "127.0.0.1"]
        words += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            [*words, "--loglevel", "warning"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **as_user(),
        )
        _until_it_listens(self.port)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(DEADLINE_S)


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    with user_folder() as folder:
        server = Redis(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _until_it_listens(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        assert time.monotonic() < deadline
        time.sleep(POLL_S)


@contextlib.contextmanager
def user_folder(place: str | None = None) -> Iterator[pathlib.Path]:
    """A folder that the servers' user may write in; in memory where there is room for it."""
    if place is None and os.access("/dev/shm", os.W_OK):
        place = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=place) as name:
        if os.getuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(name, user.pw_uid, user.pw_gid)
        yield pathlib.Path(name)


def ends_with_us() -> list[str]:
    """Words before a server's command: killed tests leave no server behind (Linux)."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "KILL"] if program else []


def as_user() -> dict[str, Any]:
    """PostgreSQL does not run as root: Debian's user stands in where the tests do."""
    return {"user": USER, "group": USER} if os.getuid() == 0 else {}


def children(pid: int) -> list[int]:
    """Living processes whose parent it is."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found
