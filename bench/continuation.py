"""How well a chat continues a text: the seam, repetitions and chatter, before and after cleaning.

    python -m bench.continuation [--publish]

The default model answers behind a chat façade on the loopback (`tests/fakes/chat_facade.py`), so it
is reached as any chat-only server is: through the dialect `openai-chat`, by prefill and by
instruction, at temperature 0; and natively beside it, as what is possible. Of each answer is told
whether it begins exactly where the text stopped, says the text again, or chatters; the same of the
words that the model really said, before Baton cleaned them. A model of 135 million parameters obeys
hardly any instruction: the figures are a baseline for regressions and say nothing of larger ones.

Takes some minutes on two cores. The page goes to build/bench, with --publish to docs/benchmarks.
"""

import argparse
import asyncio
import json
import pathlib
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from baton.upstreams.continuation import Repetition
from bench.continuation_texts import HOLES, TEXTS, Text
from tests import running
from tests.asking import Endpoint
from tests.fakes.chat_facade import ChatFacade

ROOT = pathlib.Path(__file__).parent.parent
MAX_TOKENS = 24
CHATTER = re.compile(
    r"\W*(sure|certainly|of course|okay|here(?:'s| is| are)|i'm sorry|i can|as an ai"
    r"|you can|you are"
    r"|the (?:text|answer|user|characters?|unfinished|missing|code|sentence|word|next|continu)"
    r"|this (?:text|code|is)|to (?:continue|complete|fill)|let me|reply|unfinished)\b",
    re.IGNORECASE,
)
TAGS = re.compile(r"</?(?:unfinished_text|text_after)|```")


class Judged(msgspec.Struct, frozen=True):
    """What is said of one answer."""

    exact: bool
    """It begins as a right continuation does, without any of the rest."""
    repeats: bool
    chatters: bool
    empty: bool
    suffix_again: bool
    prompt: str
    answer: str


def judged(text: Text, answer: str) -> Judged:
    repeats = says_again(text.prompt, answer)
    chatters = bool(CHATTER.match(answer) or TAGS.search(answer))
    again = bool(text.suffix and text.suffix.strip()[:16] in answer)
    fits = re.match(text.begins, answer) is not None
    empty = not answer.strip()
    exact = fits and not (repeats or chatters or again)
    return Judged(exact, repeats, chatters, empty, again, text.prompt, answer)


def says_again(prompt: str, answer: str) -> bool:
    """The prompt's end or its beginning once more."""
    again = Repetition(prompt)
    begun = answer.lstrip()
    if begun:
        again.feed(begun, spaced=begun != answer)
    return again.length > 0 or begun.startswith(prompt.strip()[:24])


@contextmanager
def facade(endpoint: Endpoint) -> Iterator[ChatFacade]:
    """The façade, on a loop in a thread of its own."""
    loop, face = asyncio.new_event_loop(), ChatFacade(endpoint)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(face.start(), loop).result(10)
        yield face
        asyncio.run_coroutine_threadsafe(face.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def evaluate(say: Callable[[str], None]) -> dict[str, list[Judged]]:
    """Every way, over both sets; the keys are the rows of the page."""
    found: dict[str, list[Judged]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running.serving(pathlib.Path(folder) / "home") as server,
        facade(server.endpoint) as face,
    ):
        for way in ("prefill", "instruct"):
            configure(server, face, way)
        found["texts, native"] = [judged(text, answer(server, text)) for text in TEXTS]
        say("texts, native")
        for way, texts, name in (
            ("prefill", TEXTS, "texts"),
            ("instruct", TEXTS, "texts"),
            ("instruct", HOLES, "holes"),
        ):
            cleaned, said = asked(server, face, way, texts)
            found[f"{name}, {way}: as said"] = said
            found[f"{name}, {way}: cleaned"] = cleaned
            say(f"{name}, {way}")
    return found


def asked(
    server: running.Server, face: ChatFacade, way: str, texts: Sequence[Text]
) -> tuple[list[Judged], list[Judged]]:
    """Answers as callers get them, and as the model gave them."""
    cleaned, said = [], []
    for text in texts:
        face.answers.clear()
        cleaned.append(judged(text, answer(server, text, way)))
        said.append(judged(text, face.answers[-1]))
    return cleaned, said


def answer(server: running.Server, text: Text, way: str = "") -> str:
    fields: dict[str, object] = {"prompt": text.prompt, "suffix": text.suffix}
    fields |= {"max_tokens": MAX_TOKENS, "temperature": 0}
    if way:
        fields["model"] = f"chat-{way}"
    got = server.endpoint.complete(**fields)
    assert got.status == 200, got.text
    return str(got.json["choices"][0]["text"])


def configure(server: running.Server, face: ChatFacade, way: str) -> None:
    """The façade as an upstream of the same server, known to its one worker when this returns."""
    body = {
        "name": way,
        "url": face.url,
        "dialect": "openai-chat",
        "models": {f"chat-{way}": server.model},
        "continuation": {"*": way},
    }
    done = server.admin.post("/admin/v1/upstreams", body)
    assert done.status == 201, done.text


def page(found: dict[str, list[Judged]]) -> str:
    lines = [
        "# Continuation on chat-only upstreams",
        "",
        "**Of a tiny model** (SmolLM2-135M-Instruct, behind a chat façade on the loopback): a",
        "baseline for regressions of the instruction and of the cleaning, no statement about real",
        f"chat models. {len(TEXTS)} texts and {len(HOLES)} holes, {MAX_TOKENS} tokens, greedy.",
        "Made by `python -m bench.continuation --publish`; the texts are in",
        "`bench/continuation_texts.py`.",
        "",
        "| asked | answers | begins exactly | says the text again | chatters or tags | empty |"
        " says the suffix again |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, answers in found.items():
        counts = [
            sum(getattr(each, field) for each in answers)
            for field in ("exact", "repeats", "chatters", "empty", "suffix_again")
        ]
        shares = [f"{count} ({100 * count / len(answers):.0f} %)" for count in counts]
        lines.append(f"| {name} | {len(answers)} | {' | '.join(shares)} |")
    lines += [
        "",
        "*As said*: the model's own words; *cleaned*: what a caller of Baton gets. *Begins",
        "exactly*: with what the seam asks for (a space or punctuation after a whole word, none",
        "after a space, the rest of a word), and with none of the other faults. A hole is always",
        "asked for by instruction.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.continuation", description=__doc__)
    parser.add_argument("--publish", action="store_true", help="write into docs/benchmarks")
    folder = ROOT / ("docs/benchmarks" if parser.parse_args().publish else "build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    found = evaluate(lambda done: print(done, file=sys.stderr, flush=True))
    raw = json.dumps(msgspec.to_builtins(found), indent=1)
    (folder / "continuation.json").write_text(raw + "\n")
    text = page(found)
    (folder / "continuation.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
