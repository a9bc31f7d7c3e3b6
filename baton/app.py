"""Composition: all that one worker consists of, made here and passed on; ended in reverse."""

import asyncio
import contextlib
import functools
import importlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from types import TracebackType
from typing import Self

from baton import __version__, tracing, webhooks
from baton.admission import keys, sessions
from baton.admission.counters import Counters, MachineCounters
from baton.admission.feed import ChangeFeed
from baton.admission.gate import Caller, Ends, Gate, credential
from baton.admission.origins import Networks, trusted
from baton.completions import Completions
from baton.config import Settings, SettingsError
from baton.configured import Configured
from baton.content import Keeper
from baton.fast_path import FastPath
from baton.http.shared import Boarding, Noting
from baton.ledger import audit
from baton.ledger.prices import PriceBook
from baton.ledger.settle import Ledger, open_ledger
from baton.once import Once
from baton.recording import Recorder
from baton.refusals import RefusalWriter, at_the_edge
from baton.routing.routes import EMBEDDED
from baton.stores import contents
from baton.stores.base import ChangeRecord, StoreError
from baton.stores.book import Store, open_store
from baton.stores.changes import SESSION
from baton.telemetry import diary
from baton.telemetry.condition import Condition
from baton.telemetry.log import AccessLog
from baton.telemetry.metrics import Metrics
from baton.telemetry.publish import Publisher
from baton.tracing import Room, Telemetry, ToldLog, TracedUpstream, around
from baton.upstreams import registry
from baton.upstreams.base import UpstreamError
from baton.upstreams.embedded import EmbeddedUpstream
from baton.upstreams.embedded_model import EmbeddedModel
from baton.upstreams.http import HttpUpstream
from baton.web import front
from baton.web.services import Headers, Readiness, Services, Standing, readiness

ENGINE_POLL_S = 0.1
LEVELS = ("key", "user", "team", "organisation")
"""Changes of these change who may ask, and how much."""
ASIDE = (*LEVELS, contents.KIND, SESSION)
"""Entries of the log that change nothing of what requests are planned with."""


class Worker:
    """One relay process's parts: enter it, then serve `room` and `web`."""

    room: Completions
    answer: Room
    """The room, or what stands around it: what answers completions."""
    board: Boarding | None
    """The fast path; None where each request is told of as a whole, or asks for determinism."""
    web: front.Web
    note: Noting
    """Told what connections refuse."""
    on_lost: Callable[[], None] = staticmethod(lambda: None)
    """Called when this process must end, and another take its place."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = contextlib.AsyncExitStack()
        self._draining = False
        self._reacting: set[asyncio.Task[None]] = set()
        self._store: Store
        self._ledger: Ledger
        self._gate: Gate
        self._configured: Configured
        self._embedded: EmbeddedModel | None = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as ending:
            await self._build(ending)
            self._ending = ending.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._ending.__aexit__(kind, error, trace)

    def _lost(self) -> None:
        """The book has given this process's journal up: another process has to begin anew."""
        self.drain()
        self.on_lost()

    def drain(self) -> None:
        """No new work: /readyz says so to whoever balances the load."""
        self._draining = True

    async def refresh(self) -> None:
        """Plan with the configuration as it is in the book now."""
        catalogue = await asyncio.to_thread(self._store.catalogue)
        self._configured.apply(catalogue)
        self._ledger.prices = self._configured.current.prices

    async def _build(self, ending: contextlib.AsyncExitStack) -> None:
        settings = self._settings
        store = self._store = await asyncio.to_thread(open_store, settings)
        ending.callback(store.close)
        self._ledger = await open_ledger(store, PriceBook())
        self._ledger.on_lost = self._lost
        self._ledger.checkpoint_tokens = settings.journal_checkpoint_tokens
        ending.push_async_callback(self._ledger.close)
        upstream = self._engine()
        traces = await self._telemetry(ending)
        made = HttpUpstream if traces is None else functools.partial(TracedUpstream, traces)
        self._configured = Configured(settings, settings.model, upstream, made)
        ending.push_async_callback(self._configured.close)
        counters, proxies = self._counters(ending), _proxies(settings)
        self._gate = Gate(store, counters, proxies, settings.console_session_s)
        await self.refresh()
        metrics, log = self._numbers(ending, counters), self._access_log(ending, traces)
        publisher = Publisher(metrics, settings.home_path / "run")
        publisher.start()
        ending.push_async_callback(publisher.stop)
        self._record(ending, metrics)
        if self._embedded is not None:
            _until_the_end(ending, self._learn(self._embedded))
        version = self._configured.current.catalogue.version
        feed = ChangeFeed(store.changes, version, self._changed)
        ending.push_async_callback(feed.close)
        self.room = Completions(settings, self._configured, self._gate, self._ledger, metrics, log)
        self._open_room(traces)
        watching = self.room.under_way.watching(self._configured.request_timeout_s)
        _until_the_end(ending, watching)
        _until_the_end(ending, self._configured.probes.run())
        self._tell_of_budgets(ending)
        self._keep(ending, metrics)
        self._write_refusals(ending)
        self.web = front.build_web(self._services(publisher, log))

    def _open_room(self, traces: Telemetry | None) -> None:
        """What answers completions, and the fast path beside it."""
        self.answer, self.board = self.room, None
        if traces is not None:
            self.answer = around(self.room, traces)
        elif not self._settings.engine_deterministic:
            path = FastPath(self._settings, self._configured, self._gate, self._ledger, self.room)
            self.board = path.board

    def _keep(self, ending: contextlib.AsyncExitStack, metrics: Metrics) -> None:
        """Answers for an Idempotency-Key, and contents where a key opted in."""
        store, settings, room = self._store, self._settings, self.room
        room.keeper = Keeper(store.contents, metrics, settings.content_bytes_max)
        ending.push_async_callback(room.keeper.close)
        room.once = Once(store.idempotency, room, settings, store.contents.prune)
        ending.push_async_callback(room.once.close)

    def _write_refusals(self, ending: contextlib.AsyncExitStack) -> None:
        """What is refused, here and at the edge, goes into the book."""
        settings, refusals = self._settings, self.room.books.refusals
        self.note = at_the_edge(self._gate, refusals)
        days, rows_max = settings.refusals_days, settings.refusals_rows_max
        writer = RefusalWriter(self._store.refusals, refusals, days, rows_max)
        writer.start()
        ending.push_async_callback(writer.close)

    async def _telemetry(self, ending: contextlib.AsyncExitStack) -> Telemetry | None:
        """OpenTelemetry's, where a collector is named; loading it takes a moment."""
        found = await asyncio.to_thread(tracing.telemetry, self._settings, __version__)
        if found is not None:
            ending.push_async_callback(asyncio.to_thread, found.close)
        return found

    def _access_log(self, ending: contextlib.AsyncExitStack, traces: Telemetry | None) -> AccessLog:
        target = self._settings.access_log
        log = AccessLog(target) if traces is None else ToldLog(target, traces)
        log.start()
        ending.push_async_callback(log.stop)
        return log

    def _numbers(self, ending: contextlib.AsyncExitStack, counters: Counters) -> Metrics:
        """What this process counts, and how it is."""
        metrics = Metrics()
        ending.enter_context(diary.tallying(metrics.lines))
        metrics.upstreams = self._configured.numbers
        metrics.condition = functools.partial(_condition, self._ledger, counters)
        return metrics

    def _record(self, ending: contextlib.AsyncExitStack, metrics: Metrics) -> None:
        """How upstreams fare, from now on."""
        recorder = Recorder(
            self._store.history,
            self._configured.sites.values,
            lambda: metrics.snapshot().series,
            f"{socket.gethostname()}/{os.getpid()}",
        )
        recorder.start()
        ending.push_async_callback(recorder.close)

    def _tell_of_budgets(self, ending: contextlib.AsyncExitStack) -> None:
        if (target := webhooks.address(self._settings)) is not None:
            telling = webhooks.Webhooks(self._store.notices, target, self._settings)
            telling.start()
            ending.push_async_callback(telling.close)

    def _counters(self, ending: contextlib.AsyncExitStack) -> Counters:
        """Rates of this machine's workers together, and of all nodes where they share a server."""
        settings = self._settings
        counters = MachineCounters(settings.home_path / "run/rates")
        ending.callback(counters.close)
        if not settings.redis_url:
            return counters
        shared_counters = importlib.import_module("baton.admission.shared_counters")
        node = f"{socket.gethostname()}:{settings.home}"
        shared = shared_counters.SharedCounters(counters, settings.redis_url, node)
        ending.push_async_callback(shared.close)
        found: Counters = shared
        return found

    def _engine(self) -> EmbeddedUpstream | None:
        if self._settings.model == "none":
            return None
        upstream = EmbeddedUpstream(EMBEDDED, str(self._settings.engine_socket))
        marks = (self._settings.engine_socket, self._settings.engine_died)
        wait_s = self._settings.ready_wait_s
        self._embedded = EmbeddedModel(self._settings.model, upstream, marks, wait_s)
        return upstream

    async def _learn(self, embedded: EmbeddedModel) -> None:
        """Ask the engine what it can do, as soon as it is there."""
        while embedded.description is None:
            try:
                await embedded.describe()
            except UpstreamError:
                await asyncio.sleep(ENGINE_POLL_S)
        self._configured.engine_described()

    def _services(self, publisher: Publisher, log: AccessLog) -> Services:
        store = self._store
        return Services(
            settings=self._settings,
            version=__version__,
            gate=WebGate(self._gate, store),
            keys=store.keys,
            parties=store.parties,
            accounts=store.accounts,
            upstreams=store.upstreams,
            prices=store.prices,
            changes=store.changes,
            usage=lambda query: store.usage.sums(*query.told()),
            ledger=store.usage,
            contents=store.contents,
            refusals=store.refusals,
            note_refusal=self.room.books.refusals.note,
            traffic=store.traffic,
            history=store.history,
            audit=lambda: audit.run(store),
            catalogue=lambda: self._configured.current.catalogue,
            refresh=self.refresh,
            embedded=self._embedded,
            vocabulary=self._configured.vocabulary,
            readiness=self._readiness,
            draining=lambda: self._draining,
            numbers=publisher.merged,
            access_log=log,
            clock_us=lambda: time.time_ns() // 1000,
            mint_key=lambda: keys.mint(secrets.token_bytes(keys.RANDOM_BYTES)),
            new_id=lambda word: f"{word}_{secrets.token_hex(8)}",
            dialects=lambda: {name: _purpose(name) for name in registry.names()},
        )

    async def _readiness(self) -> Readiness:
        return readiness(
            store=not self._ledger.failing,
            engine="off" if self._embedded is None else await self._embedded.state(),
            upstreams=len(self._configured.current.catalogue.upstreams),
            draining=self._draining,
        )

    def _changed(self, changes: list[ChangeRecord]) -> None:
        """Somebody changed the configuration (from the feed, on the loop)."""
        levels = [change for change in changes if change.kind in LEVELS]
        # Whatever is known of a key or party was read after that was made.
        found = [change.object_id for change in levels if change.action != "create"]
        out = [change.object_id for change in changes if change.kind == SESSION]
        if levels or out:
            self._gate.changed([*found, *out])
        if found:
            self._own(self._recall(found))
            if running := self.room.under_way.among(found):
                self._own(self._move_ends(running))
        if any(change.kind not in ASIDE for change in changes):
            self._own(self._refresh_or_log())

    def _own(self, work: Coroutine[None, None, None]) -> None:
        """Run it now; the loop alone would not keep it."""
        task = asyncio.get_running_loop().create_task(work)
        self._reacting.add(task)
        task.add_done_callback(self._reacting.discard)

    async def _recall(self, subjects: list[str]) -> None:
        """What is held for those whose limits may have changed goes back to the book."""
        for subject in dict.fromkeys(subjects):
            await self._ledger.recall(subject)

    async def _move_ends(self, key_ids: Collection[str]) -> None:
        """What runs for these keys ends when they do, which may be sooner or later than it was."""
        try:
            ends = await self._gate.ends(key_ids)
        except StoreError as error:
            diary.error("keys not checked: ending all", reason=str(error))
            ends = dict.fromkeys(key_ids, Ends(0.0))
        self.room.under_way.until(ends)

    async def _refresh_or_log(self) -> None:
        try:
            await self.refresh()
        except StoreError as error:
            diary.error("configuration not loaded", reason=str(error))


class WebGate:
    """The gate, as the routes see it (web.services.Gate)."""

    def __init__(self, gate: Gate, store: Store) -> None:
        self._gate, self._store = gate, store

    async def identify(self, headers: Headers, peer: str) -> Caller:
        caller = await self._gate.identify(credential(headers))
        self._gate.check_origin(caller, peer, headers)
        return caller

    async def sign_in(self, value: str, headers: Headers, peer: str) -> tuple[Caller, str]:
        caller, token = await self._gate.sign_in(value)
        self._gate.check_origin(caller, peer, headers)
        return caller, token

    async def signed_in(self, headers: Headers, peer: str) -> tuple[Caller, str]:
        caller, mark = await self._gate.signed_in(sessions.cookies(headers))
        self._gate.check_origin(caller, peer, headers)
        return caller, mark

    async def sign_out(self, headers: Headers) -> None:
        await self._gate.sign_out(sessions.cookies(headers))

    def conceal(self, value: str, about: str) -> str:
        return self._gate.sessions.conceal(value, about, time.time())

    def revealed(self, sealed: str, about: str) -> str | None:
        return self._gate.sessions.revealed(sealed, about, time.time())

    async def standing(self, caller: Caller, further: Sequence[str] = ()) -> Standing:
        names = (caller.record.account, *caller.payer.limited, *further)
        balances = await asyncio.to_thread(self._store.accounts.some, names)
        return Standing(balances=balances, left=await self._gate.left(caller))


def _condition(ledger: Ledger, counters: Counters) -> Condition:
    return Condition(
        journals_failing=int(ledger.failing),
        unfolded_s=ledger.unfolded_s,
        counting_apart=int(counters.apart),
    )


def _until_the_end(ending: contextlib.AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """Run it for as long as the worker does."""
    ending.callback(asyncio.get_running_loop().create_task(work).cancel)


def _proxies(settings: Settings) -> Networks:
    try:
        return trusted(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"BATON_TRUSTED_PROXIES: {error}") from None


def _purpose(dialect: str) -> str:
    """What a dialect is for: the first line that its adapter says of itself."""
    return (registry.dialect(dialect).adapter.__doc__ or "").partition("\n")[0]
