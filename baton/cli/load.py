"""A load: so many requests, so many at once, each thread with a connection that it keeps.

A thread asks again as soon as it is answered, so a slower server is asked less often. Nothing is
tried a second time: what fails is what a caller without retries would have seen.
"""

import contextlib
import http.client
import itertools
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable

import msgspec

from baton.cli.calling import connection_to, error_message, headers_of, target
from baton.cli.complete import Chunk, CutStream, NoCompletion, chunks, decoded
from baton.cli.main import CommandError
from baton.cli.measured import Failure, Outcome, Summary, Tally
from baton.files import enough_for


class Asked(msgspec.Struct, frozen=True):
    """What every request of a load is."""

    base: str
    key: str | None
    body: bytes
    stream: bool
    silence_s: float
    """How long nothing may come before the request has failed."""


class Load:
    """`run()` puts it on; `summary()` tells what came of it, also where `run()` was interrupted."""

    def __init__(self, asked: Asked, requests: int, at_once: int) -> None:
        """CommandError for an address that is none."""
        enough_for(at_once)
        self._numbers, self._requests = itertools.count(1), requests
        self._tally, self._lock = Tally(), threading.Lock()
        self._started = self._ended = 0.0
        # Made once: to read the system's certificates takes longer than many a request.
        trust = ssl.create_default_context() if asked.base.lower().startswith("https:") else None
        try:
            self._callers = [Caller(asked, trust) for _ in range(min(at_once, requests))]
        except ValueError as error:
            raise CommandError(f"{asked.base} cannot be called: {error}") from None

    def run(self) -> None:
        """Until all requests have ended. Interrupted, those under way are left uncounted."""
        threads = [
            threading.Thread(target=self._ask, args=(caller,), daemon=True)
            for caller in self._callers
        ]
        self._started = time.perf_counter()
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            with self._lock:  # whoever has it next sees that nothing is added any more
                self._ended = time.perf_counter()
            for caller in self._callers:
                caller.leave()

    def summary(self) -> Summary:
        return self._tally.summary(self._ended - self._started)

    def _ask(self, caller: "Caller") -> None:
        with contextlib.closing(caller):
            while not self._ended and next(self._numbers) <= self._requests:
                outcome = caller.ask()
                with self._lock:
                    if not self._ended:
                        self._tally.add(outcome)


class Caller:
    """Asks the same again and again, on one connection as long as the server keeps it."""

    def __init__(self, asked: Asked, trust: ssl.SSLContext | None = None) -> None:
        self._asked = asked
        self._connection = connection_to(asked.base, asked.silence_s, trust)

    def ask(self) -> Outcome:
        """One request, to its end."""
        try:
            return self._outcome()
        except TimeoutError:
            failure = Failure("timeout", f"nothing came for {self._asked.silence_s:g} s")
        except CutStream as error:
            failure = Failure("cut", str(error))
        except NoCompletion as error:
            failure = Failure("no completion", str(error))
        except CommandError as error:
            failure = Failure("error", str(error))
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = Failure("connection", _words(error))
        self.close()
        return Outcome(failure=failure)

    def close(self) -> None:
        self._connection.close()

    def leave(self) -> None:
        """From another thread: what is awaited here ends at once."""
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _outcome(self) -> Outcome:
        sock = self._connection.sock
        if sock is not None and _closed_by_its_server(sock):
            self.close()
        path = target(self._asked.base, "/v1/completions")
        headers = headers_of(self._asked.key, self._asked.body)
        started = time.perf_counter()
        self._connection.request("POST", path, self._asked.body, headers)
        with self._connection.getresponse() as response:
            if response.status != http.client.OK:
                message = error_message(response.read())
                return Outcome(failure=Failure(str(response.status), message))
            try:
                outcome = self._measured(response, started)
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise CutStream(f"the answer was cut: {_words(error)}") from None
            self._keep(response)
        return outcome

    def _keep(self, response: http.client.HTTPResponse) -> None:
        """The connection, where the body has its end too: the answer itself is whole."""
        try:
            response.read()
        except (OSError, http.client.HTTPException):
            self.close()

    def _measured(self, response: http.client.HTTPResponse, started: float) -> Outcome:
        """CommandError where the answer tells of an error."""
        choices, tokens = 0, None
        texts_at: list[float] = []
        for chunk in self._chunks(response):
            if chunk.error is not None:
                raise CommandError(chunk.error.message)
            choices += len(chunk.choices)
            if self._asked.stream and any(choice.text for choice in chunk.choices):
                texts_at.append(time.perf_counter())
            if chunk.usage is not None:
                tokens = chunk.usage.completion_tokens
        seconds = time.perf_counter() - started
        if not choices:
            raise NoCompletion("the answer has no choices")
        return Outcome(
            seconds=seconds,
            completion_tokens=tokens,
            first_text_s=texts_at[0] - started if texts_at else None,
            between_texts_s=tuple(after - before for before, after in itertools.pairwise(texts_at)),
        )

    def _chunks(self, response: http.client.HTTPResponse) -> Iterable[Chunk]:
        """An answer as a whole is one."""
        if self._asked.stream:
            return chunks(response)
        return (decoded(response.read()),)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _closed_by_its_server(sock: socket.socket) -> bool:
    """At rest nothing is to be read from it but its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
