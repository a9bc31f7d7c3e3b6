"""The playground's modules, run by Node: their own tests, and the ledger's sums."""

import functools
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import msgspec
import pytest

from baton.ledger.prices import charge
from baton.protocol import CompletionUsage
from baton.semantics.events import Usage
from baton.semantics.usage import clamp, to_wire
from baton.stores.base import PriceDetails, PriceRecord
from baton.web.console.room import HERE

FOLDER = pathlib.Path(__file__).parent / "playground"
PRICES = HERE / "static/playground/price.js"
TIMEOUT_S = 60
CASES = 400
NODE_ASKS_MAX = 22
ASK = f"""
import {{ charge }} from {json.dumps(PRICES.as_uri())};
let text = "";
for await (const part of process.stdin) text += part;
const charges = JSON.parse(text).map(([usage, price]) => String(charge(usage, price)));
console.log(JSON.stringify(charges));
"""


def node(*words: str, given: str = "") -> str:
    """Run Node on modules; its standard output."""
    if shutil.which("node") is None:
        pytest.fail("Node 20 or newer is needed for this test: apt-get install nodejs")
    done = subprocess.run(
        ["node", *_modules_by_default(), *words],
        input=given,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@functools.cache
def _modules_by_default() -> list[str]:
    """Modules are named .js, as browsers get them. From 22.7 on Node sees by itself what they are,
    and later it knows the option no more."""
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    major = int(told.stdout.removeprefix("v").split(".")[0])
    return [] if major > NODE_ASKS_MAX else ["--experimental-default-type=module"]


def test_modules() -> None:
    """Every test file of the folder passes, and none is empty."""
    files = sorted(FOLDER.glob("*.test.mjs"))
    told = node("--test", *map(str, files))
    passed = next(line for line in told.splitlines() if "pass " in line)
    assert len(files) > 8
    assert int(passed.rsplit(" ", 1)[1]) >= 4 * len(files)


def test_the_page_s_price_is_the_ledger_s_charge() -> None:
    """To the nano-dollar, for any usage and price."""
    chance = random.Random(7)
    usages = [usage(chance) for _ in range(CASES)]
    prices = [price(chance) for _ in range(CASES)]
    given = [[as_json(to_wire(u)), as_json(p)] for u, p in zip(usages, prices, strict=True)]
    told = json.loads(node("--input-type=module", "-e", ASK, given=json.dumps(given)))
    assert [str(charge(u, p)) for u, p in zip(usages, prices, strict=True)] == told


def usage(chance: random.Random) -> Usage:
    prompt, completion = chance.randrange(5000), chance.randrange(5000)
    some = [chance.choice([0, chance.randrange(prompt + 1)]) for _ in range(4)]
    return clamp(
        Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=some[0],
            cache_write_tokens=some[1],
            image_prompt_tokens=some[2],
            audio_prompt_tokens=some[3],
            reasoning_tokens=chance.randrange(completion + 1),
        )
    )


def price(chance: random.Random) -> PriceRecord:
    def pico() -> int:
        return chance.choice([0, 1, chance.randrange(10**9)])

    def perhaps() -> int | None:
        return chance.choice([None, pico()])

    details = PriceDetails(
        cache_write_pico=perhaps(),
        audio_input_pico=perhaps(),
        image_input_pico=perhaps(),
        audio_output_pico=perhaps(),
        reasoning_pico=perhaps(),
    )
    return PriceRecord(
        version=1,
        model="m",
        effective_us=0,
        input_pico=pico(),
        cached_input_pico=perhaps(),
        output_pico=pico(),
        request_nano=pico(),
        details=chance.choice([None, details]),
    )


def as_json(value: CompletionUsage | PriceRecord) -> object:
    return msgspec.to_builtins(value)
