"""The search's module, run by Node on the index that is served."""

import json
import shutil
import subprocess

import pytest

from baton.web.guide import load
from baton.web.site import HERE
from baton.web.texts import Language
from baton.web.texts import load as load_texts

SCRIPT = """
globalThis.document = { querySelector: () => null };
const { rank, terms } = await import(MODULE);
const { queries, entries } = JSON.parse(await new Response(process.stdin).text());
const index = entries.map((entry) => ({
  ...entry,
  parts: [entry.title, entry.heading, entry.text].map((part) => part.toLowerCase()),
}));
console.log(JSON.stringify(queries.map((query) =>
  rank(index, terms(query)).map((entry) => `${entry.page}#${entry.at}`))));
"""


def search(language: Language, *queries: str) -> list[list[str]]:
    """What is found, best first."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("Node is needed for this test: apt-get install nodejs")
    entries = json.loads(load(load_texts(), "http://127.0.0.1:8080", None).index(language))
    done = _run(node, json.dumps({"queries": queries, "entries": entries}))
    found: list[list[str]] = json.loads(done.stdout)
    return found


def _run(node: str, body: str) -> subprocess.CompletedProcess[str]:
    path = (HERE / "static/search.js").as_uri()
    words = [node, "--input-type=module", "--eval", SCRIPT.replace("MODULE", f"'{path}'")]
    done = subprocess.run(words, input=body, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    return done


def test_what_people_look_for_is_found_first() -> None:
    """Words in titles count more than words in texts; all words must be there."""
    found = search(
        "en", "haproxy", "Continue", "BATON_OTEL_URL", "insufficient_quota budget", "zzz"
    )
    assert "guide/proxies#haproxy" == found[0][0]
    assert "guide/editors#continue" == found[1][0]
    assert {one.partition("#")[0] for one in found[2]} <= {"guide/settings", "guide/monitoring"}
    assert any(one.startswith("guide/keys") for one in found[3])
    assert [] == found[4]


def test_chinese_is_found_without_spaces() -> None:
    """A run of characters is looked for as it is written; Latin words in it apart."""
    found = search("zh", "密钥", "接力", "nginx代理")
    assert any(one.startswith("guide/keys") for one in found[0])
    assert all(found)
    assert any(one.startswith("guide/proxies") for one in found[2])
