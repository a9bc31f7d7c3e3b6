"""How a long fetch shows itself: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

import rich.console
import rich.progress

from baton.engine.models import Progress

LINE_EVERY_S = 5.0
MIB = 1024 * 1024


@contextlib.contextmanager
def shown(title: str) -> Iterator[Progress]:
    """A Progress that writes to standard error; it says nothing when nothing comes."""
    if sys.stderr.isatty():
        with _bar(title) as progress:
            yield progress
    else:
        yield _Lines(title)


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Progress]:
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, visible=False)

        def progress(_name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, visible=True)

        yield progress


class _Lines:
    """One line at the start, one every few seconds, one at the end."""

    def __init__(self, title: str) -> None:
        self._title, self._next = title, 0.0

    def __call__(self, _name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next and done != total:
            return
        self._next = now + LINE_EVERY_S
        whole = f" of {total / MIB:.0f}" if total else ""
        print(f"{self._title}: {done / MIB:.0f}{whole} MiB", file=sys.stderr, flush=True)
