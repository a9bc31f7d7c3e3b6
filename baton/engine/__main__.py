"""`python -m baton.engine --socket PATH --model GGUF`: the engine process.

Prints `ready` when it accepts calls. Ends on SIGTERM, when the pipe of `--watch-fd` closes (its
parent is gone), and with exit code 70 when its thread breaks, so that whoever started it can start
another one."""

import argparse
import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import threading
from dataclasses import fields

import msgspec
import uvloop

from baton.engine.batching import ALONE_CHUNK_TOKENS
from baton.engine.choice import Vocabulary
from baton.engine.cores import default_threads, openmp_environment
from baton.engine.digest import file_sha256
from baton.engine.fingerprint import Identity, fingerprint
from baton.engine.llama import Context, Model, load_library
from baton.engine.pulse import Pulse, tell
from baton.engine.runs import Shape
from baton.engine.scheduler import Bounds, Scheduler
from baton.engine.sequences import Post
from baton.engine.server import Engine
from baton.engine.wire import Description
from baton.errors import BatonError

EXIT_UNUSABLE, EXIT_BROKEN = 3, 70
"""The model or the library cannot be used; the engine's thread ended by itself."""
CONTEXT_TOKENS_DEFAULT = 2048
SWITCH_INTERVAL_S = 0.0005
"""How long the server's thread may keep the scheduler's waiting for the interpreter (Python: 5
ms)."""
STOP_TIMEOUT_S = 5.0
BACKLOG = 4096
"""Connections that may wait to be accepted: a Unix socket refuses at once beyond it."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line; the settings that these come from say why."""

    socket: str
    model: str
    sha256: str = ""
    """Of the model file, where it is known; else it is computed."""
    library: str = ""
    threads: int = 0
    sequences: int = 16
    context_tokens: int = 0
    queue_max: int = 512
    prefill_budget_ms: float = 100.0
    gpu_layers: int = 0
    deterministic: bool = False
    no_speculation: bool = False
    watch_fd: int = -1


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="baton.engine", description=__doc__)
    for name in ("socket", "model"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("sha256", "library"):
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS)
    numbers: tuple[tuple[str, type[int] | type[float]], ...] = (
        ("threads", int),
        ("sequences", int),
        ("context-tokens", int),
        ("queue-max", int),
        ("prefill-budget-ms", float),
        ("gpu-layers", int),
        ("watch-fd", int),
    )
    for name, kind in numbers:
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS)
    for name in ("deterministic", "no-speculation"):
        parser.add_argument(f"--{name}", action="store_true")
    return msgspec.convert(vars(parser.parse_args(arguments)), Options)


class Process:
    """The engine's parts, built in order and taken down in the opposite one."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._threads = options.threads or default_threads()
        os.environ.update(openmp_environment(self._threads, os.environ))
        self._library = load_library(options.library)
        self._model = Model(self._library, options.model, options.gpu_layers)
        tokens = options.context_tokens or min(self._model.context_trained, CONTEXT_TOKENS_DEFAULT)
        self._context = Context(self._model, options.sequences, tokens, self._threads)
        bounds = Bounds(
            options.queue_max,
            options.prefill_budget_ms / 1000,
            speculation=not options.no_speculation,
        )
        self._scheduler = Scheduler(self._model, self._context, bounds, self._deliver)
        self._description = self._make_description()
        words = Vocabulary(self._model.piece, self._model.ends)
        fim_ends = self._model.fim.ends if self._model.fim is not None else self._model.ends
        shape = Shape(words, fim_ends, self._model.cuttable, options.deterministic)
        self._engine = Engine(self._model, self._scheduler, shape, self._describe)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _make_description(self) -> Description:
        options, model = self._options, self._model
        sha256 = options.sha256 or file_sha256(pathlib.Path(options.model))
        identity = Identity(
            build=self._library.build,
            system=self._library.system,
            model_sha256=sha256,
            threads=self._threads,
            context_tokens_max=self._context.sequence_tokens_max,
            chunk_tokens=ALONE_CHUNK_TOKENS,
            deterministic=options.deterministic,
            gpu_layers=options.gpu_layers,
        )
        return Description(
            fingerprint=fingerprint(identity),
            architecture=model.metadata("general.architecture") or "",
            vocabulary_size=model.vocabulary_size,
            context_tokens_max=self._context.sequence_tokens_max,
            sequences_max=options.sequences,
            threads=self._threads,
            eos_token=model.name(model.eos),
            bos_token=model.name(model.bos),
            fim=model.fim is not None,
        )

    def _describe(self) -> Description:
        """What stands, with the live counters."""
        scheduler, counters = self._scheduler, self._scheduler.counters
        return msgspec.structs.replace(
            self._description,
            running=scheduler.running,
            waiting=scheduler.waiting,
            kept_tokens=scheduler.kept_tokens,
            **{field.name: getattr(counters, field.name) for field in fields(counters)},
        )

    def _deliver(self, post: Post) -> None:
        """From the scheduler's thread to the loop's."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._engine.deliver, post)

    async def serve(self) -> int:
        """Serve until told to stop; the exit code."""
        loop = self._loop = asyncio.get_running_loop()
        over = asyncio.Event()
        self._watch(loop, over)
        server = await self._listen(loop)
        thread = threading.Thread(target=self._compute, args=(loop, over), name="scheduler")
        thread.start()
        with contextlib.suppress(OSError):  # whoever waited for it is gone: the watch pipe tells
            os.write(sys.stdout.fileno(), b"ready\n")
        pulse = self._pulse(loop)
        await over.wait()
        pulse.cancel()
        code = 0 if thread.is_alive() else EXIT_BROKEN
        server.close()
        self._scheduler.stop()
        await asyncio.to_thread(thread.join, STOP_TIMEOUT_S)
        self._engine.close()
        await asyncio.sleep(0)  # let the cut connections end before the loop does
        return code

    def _pulse(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Tell whoever started it that it lives."""
        telling = tell(Pulse(self._scheduler), sys.stdout.fileno())
        return loop.create_task(telling)

    def _watch(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        watched = self._options.watch_fd
        loop.add_signal_handler(signal.SIGTERM, over.set)
        # An interrupt typed at the terminal reaches the parent too, which decides.
        loop.add_signal_handler(signal.SIGINT, (lambda: None) if watched >= 0 else over.set)
        if watched >= 0:
            loop.add_reader(watched, lambda: None if os.read(watched, 1) else over.set())

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        path = self._options.socket
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        before = os.umask(0o177)
        try:
            return await loop.create_unix_server(self._engine.connection, path, backlog=BACKLOG)
        except OSError as error:
            raise BatonError(f"cannot listen on {path}: {error}") from None
        finally:
            os.umask(before)

    def _compute(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        """The scheduler's thread. However it ends, the process ends with it."""
        try:
            self._scheduler.run_forever()
        finally:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)

    def close(self) -> None:
        self._context.close()
        self._model.close()


def main() -> int:
    """Run the engine; the exit code."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        process = Process(parse(sys.argv[1:]))
        code = uvloop.run(process.serve())
    except BatonError as error:
        print(f"baton engine: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    process.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
