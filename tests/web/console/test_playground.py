"""The playground's page: every field with its range, prices, and words for its script."""

import html
import json
import pathlib
import re
from typing import Any

import msgspec

from baton.decoding import WireFields
from baton.protocol import RequestLimits
from baton.stores.base import PriceRecord
from baton.web.console.playground import LEVELS, MODES, ranges
from baton.web.console.room import HERE, Room
from tests.asking import Answer
from tests.fakes.web_parts import MODEL, Web
from tests.web.console.browsing import visitor

SCRIPTS = HERE / "static/playground"


def data(answer: Answer, name: str) -> Any:
    """What an attribute of the form holds."""
    found = re.search(rf'data-{name}="([^"]*)"', answer.text)
    assert found is not None, answer.text[:300]
    return json.loads(html.unescape(found.group(1)))


def test_whoever_signed_in_may_play(site: Web) -> None:
    """Admins and ordinary keys; nobody else sees the page."""
    ordinary = visitor(site, site.key().key)
    for one in (visitor(site), ordinary):
        answer = one.get("/console/playground")
        assert 200 == answer.status
        assert f'data-mark="{one.mark}"' in answer.text
        assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    assert 303 == visitor(site, None).get("/console/playground").status


def test_every_field_has_the_range_that_decoding_holds_it_to() -> None:
    """By its type and by the settings: the same numbers, from the same places."""
    found = ranges(RequestLimits(n_max=7, stops_max=3))
    assert [field.name for field in msgspec.structs.fields(WireFields)] == list(found)
    kinds = {name: (one.kind, one.least, one.most) for name, one in found.items()}
    expected = {
        "n": ("integer", 1, 7),
        "temperature": ("number", 0, 2),
        "presence_penalty": ("number", -2, 2),
        "seed": ("integer", None, None),
        "echo": ("flag", None, None),
    }
    assert expected == {name: kinds[name] for name in expected}
    assert 3 == found["stop"].most
    assert ["16", "1", "1"] == [found[each].usual for each in ("max_tokens", "temperature", "n")]
    assert ["0\u00a0…\u00a02", "1\u00a0…\u00a07", ""] == [
        found[each].shown for each in ("temperature", "n", "user")
    ]


def test_every_field_of_the_contract_can_be_typed_in(site: Web) -> None:
    """Each has its place and its hint; prompt and suffix are texts of their own."""
    text = visitor(site).get("/console/playground").text
    placed = set(re.findall(r'data-field="(\w+)"', text))
    fields = {field.name for field in msgspec.structs.fields(WireFields)}
    assert fields - {"stream_options", "suffix"} <= placed
    assert "include_usage" in placed
    assert {f'id="{name}"' in text for name in ("prompt", "prefix", "suffix", "prompts")} == {True}
    assert placed <= set(re.findall(r'id="hint-(\w+)"', text))


def test_the_visitor_s_models_come_with_what_they_cost(site: Web) -> None:
    """The price that callers pay at this moment, in whole numbers."""
    price = PriceRecord(version=0, model=MODEL, effective_us=1, input_pico=150, output_pico=600)
    site.parts.store.prices.set(price, "test")
    site.run(site.parts.refresh)
    models = data(visitor(site).get("/console/playground"), "models")
    shown = next(each for each in models if each["name"] == MODEL)["price"]
    assert (150, 600, 0) == tuple(shown[n] for n in ("input_pico", "output_pico", "request_nano"))
    other = visitor(site, site.key(models=("elsewhere",)).key).get("/console/playground")
    assert [] == data(other, "models")
    assert 'data-model=""' in other.text


def test_the_script_finds_every_word_that_it_says(site: Web) -> None:
    """Texts reach it through the page, in the page's language, and none is left over."""
    wanted: set[str] = set()
    for path in SCRIPTS.glob("*.js"):
        wanted |= set(
            re.findall(r"(?:\bthis\.|(?<![.\w]))texts\.(\w+)", path.read_text(encoding="utf-8"))
        )
    for language in ("zh", "en"):
        words = data(visitor(site).get(f"/console/playground?lang={language}"), "texts")
        assert set() == wanted - set(words)
        made = {name for name in words if name.startswith(("fault.", "problem."))}
        assert set(words) - made == wanted & set(words)
    assert "Waiting …" == words["waiting"]


def test_each_fault_and_problem_has_a_sentence(site: Web) -> None:
    words = Room(site.parts.services()).texts["en"]
    source = (SCRIPTS / "fault.js").read_text(encoding="utf-8")
    returned = set(re.findall(r'return "(\w+)"', source))
    faults = returned | set(re.findall(r'end\.kind === "(\w+)"', source.partition("}")[0]))
    faults |= {"network", "cut", "garbled"}
    codes = set(re.findall(r'code: "(\w+)"', (SCRIPTS / "request.js").read_text(encoding="utf-8")))
    assert len(faults) > 8
    assert len(codes) > 7
    assert set() == {f"say.fault.{each}" for each in faults} - set(words)
    assert set() == {f"say.problem.{each}" for each in codes} - set(words)


def test_the_page_and_its_script_name_the_same_ways_and_levels() -> None:
    source = (SCRIPTS / "request.js").read_text(encoding="utf-8")
    found = re.search(r"export const MODES = (\[.*\]);", source)
    assert found is not None
    assert list(MODES) == json.loads(found.group(1))
    bounds = re.search(
        r"export const LEVELS = (\[.*\]);",
        (SCRIPTS / "probability.js").read_text(encoding="utf-8"),
    )
    assert bounds is not None
    told = [f"≥ {100 * each:g} %" for each in json.loads(bounds.group(1))[:-1]]
    assert [*told, "< 1 %"] == list(LEVELS)


def test_texts_go_into_pages_as_texts_alone() -> None:
    """No script of the page writes markup, or runs what it was given."""
    for path in pathlib.Path(SCRIPTS).glob("*.js"):
        source = path.read_text(encoding="utf-8")
        forbidden = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
            r"|localStorage|setHTML|createContextualFragment|\.srcdoc",
            source,
        )
        assert forbidden is None, (path.name, forbidden)
