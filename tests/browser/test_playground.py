"""The playground in a real browser at a real Baton with the real model."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.watching import Browse, Scheme, Size, violations
from tests.running import Server

SLOW_MS = 60_000.0
"""For a whole answer of the model: the machine has other work too."""
REVOKED_S = 2.0
ENDLESS = {"max_tokens": 1500, "logit_bias": "0: -100\n2: -100"}
"""What the model would not end by itself: it never says either of its two ends."""
PATH = "/console/playground"
COPIED = """() => {
  navigator.clipboard.readText().then((text) => { window.copied = text; });
  return window.copied;
}"""
"""What is in the clipboard, once there is something: a promise would pass for that at once."""
HOSTILE = (
    "<script>window.hit=1</script><img src=x onerror='window.hit=1'>"
    "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2066 \u200b{{7*7}} ${1} javascript:alert(1)"
)


@pytest.fixture
def key(server: Server) -> Iterator[dict[str, Any]]:
    """A key of its own, to be revoked."""
    made = server.admin.post("/admin/v1/keys", {"name": f"play-{uuid.uuid4().hex[:8]}"}).json
    yield made
    server.admin.post(f"/admin/v1/keys/{made['id']}/revoke", {})


def play(
    browse: Browse,
    key: str,
    size: Size = "desktop",
    scheme: Scheme = "light",
    language: str = "en-GB",
) -> Page:
    """The playground, ready to be typed into."""
    page = browse.sign_in(key, size, scheme, language)
    page.goto(PATH)
    page.wait_for_selector("#play:not([hidden])")
    return page


def choose(page: Page, name: str, value: str) -> None:
    page.locator(f'[name="{name}"][value="{value}"]').check(force=True)


def fill(page: Page, **values: object) -> None:
    """Type into fields by their names; those in a closed part of the form too."""
    page.evaluate("() => document.querySelectorAll('.knob').forEach((each) => each.open = true)")
    for name, value in values.items():
        page.locator(f'[data-field="{name}"]').fill(str(value))


def run(page: Page) -> None:
    """Run it to the end."""
    page.locator("#run").click()
    page.wait_for_selector("#after:not([hidden])", timeout=SLOW_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_tokens_come_coloured(browse: Browse, server: Server, size: Size, scheme: Scheme) -> None:
    """A streamed completion, wide and narrow, light and dark; nothing that axe finds serious."""
    page = play(browse, server.key, size, scheme)
    fill(page, max_tokens=12, seed=3)
    run(page)
    tokens = page.locator(".answer .token")
    assert 8 <= tokens.count() <= 12
    levels = page.evaluate(
        "() => [...document.querySelectorAll('.answer .token')]"
        ".map((each) => [each.className, getComputedStyle(each).backgroundColor])"
    )
    assert all(re.search(r"\blevel-[0-5]\b", name) for name, _ in levels)
    assert len({colour for _, colour in levels}) > 1
    assert "12" in page.locator("#usage-facts").inner_text()
    assert "$" in page.locator("#usage-facts").inner_text()
    assert page.locator("#latency svg .lane").count() == 1
    browse.shoot(page, f"playground-complete-{size}-{scheme}")
    assert [] == violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_alternatives_open_by_pointer_and_by_keyboard(browse: Browse, server: Server) -> None:
    """The card shows what else a token could have been, and goes away again."""
    page = play(browse, server.key)
    fill(page, max_tokens=6, temperature=0, logprobs=4)
    run(page)
    card, tokens = page.locator("#card"), page.locator(".answer .token")
    tokens.nth(2).hover()
    assert card.locator("li").count() >= 4
    assert "%" in card.locator(".chosen .value").inner_text()
    browse.shoot(page, "playground-alternatives")
    assert [] == violations(page)
    page.mouse.move(1, 1)
    expect(card).to_be_hidden()
    page.locator(".answer .copy").focus()
    page.keyboard.press("Tab")
    expect(card).to_be_visible()
    first = card.locator(".card-token").inner_text()
    page.keyboard.press("ArrowRight")
    assert "1" == page.evaluate("document.activeElement.dataset.at")
    assert first != card.locator(".card-head").inner_text()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_the_middle_is_filled_in(browse: Browse, server: Server) -> None:
    """Between prefix and suffix; the default model's suffix is filled by ranking, and said so."""
    page = play(browse, server.key)
    choose(page, "mode", "fill")
    fill(page, max_tokens=10)
    run(page)
    around = page.locator(".answer .given")
    assert around.first.inner_text().endswith("total = ")
    assert "return total" in around.last.inner_text()
    assert page.locator(".answer .text").inner_text().strip()
    assert "suffix" in page.locator("#usage-facts").inner_text()
    browse.shoot(page, "playground-fill")
    assert [] == violations(page)


def test_choices_stand_side_by_side_and_show_where_a_stop_hit(
    browse: Browse, server: Server
) -> None:
    page = play(browse, server.key)
    page.locator("#prompt").fill("1, 2, 3, 4,")
    fill(page, n=3, max_tokens=24, temperature=0, stop="8\n\\n\\n")
    run(page)
    boxes = [page.locator(".answer").nth(at).bounding_box() for at in range(3)]
    assert page.locator(".answer").count() == 3
    assert 3 == len({round(box["x"]) for box in boxes if box is not None})
    assert 1 == len({round(box["y"]) for box in boxes if box is not None})
    assert ["■ 8 | \\n\\n"] * 3 == page.locator(".answer .ending.stop").all_inner_texts()
    assert "8" not in page.locator(".answer .text").first.inner_text()
    browse.shoot(page, "playground-choices")


def test_how_surprising_a_prompt_is(browse: Browse, server: Server) -> None:
    """Echo and logprobs of the prompt itself; the most surprising token leads to its place."""
    page = play(browse, server.key, language="zh-CN")
    choose(page, "mode", "surprise")
    page.locator("#prompt").fill("The capital of France is Paris. The capital of France is banana.")
    run(page)
    first = page.locator("#surprises button").first
    assert "banana" in first.inner_text()
    first.click()
    assert "banana" in page.evaluate("document.activeElement.textContent")
    assert "困惑度" in page.locator("#surprise-facts").inner_text()
    browse.shoot(page, "playground-surprise-zh")


def test_several_prompts_each_with_its_answers(browse: Browse, server: Server) -> None:
    page = play(browse, server.key)
    choose(page, "mode", "batch")
    page.locator("#add-prompt").click()
    page.locator("#prompts textarea").last.fill("Water is")
    fill(page, max_tokens=3)
    run(page)
    given = page.locator(".answer .given").all_inner_texts()
    assert 4 == len(given)
    assert "Water is" == given[-1]
    assert "Prompt 4" in page.locator(".answer header").last.inner_text()
    browse.shoot(page, "playground-prompts")


def test_a_stream_is_stopped_by_hand(browse: Browse, server: Server) -> None:
    """What came stays, and is said to be stopped."""
    page = play(browse, server.key)
    fill(page, **ENDLESS)
    page.locator("#run").click()
    page.wait_for_selector(".answer .token", timeout=SLOW_MS)
    page.locator("#stop").click()
    page.wait_for_selector("#after:not([hidden])")
    assert "stopped by you" in page.locator(".answer .ending").inner_text()
    assert "Stopped" in page.locator("#state").inner_text()
    assert page.locator("#run").is_enabled()


def test_a_revoked_key_s_stream_ends(browse: Browse, server: Server, key: dict[str, Any]) -> None:
    """Within two seconds, and the page says whose fault it is."""
    page = play(browse, key["value"])
    fill(page, **ENDLESS)
    page.locator("#run").click()
    page.wait_for_selector(".answer .token", timeout=SLOW_MS)
    began = time.monotonic()
    assert 200 == server.admin.post(f"/admin/v1/keys/{key['id']}/revoke", {}).status
    page.wait_for_selector("#fault:not([hidden])", timeout=REVOKED_S * 1000)
    assert time.monotonic() - began < REVOKED_S
    assert "The key is not valid" in page.locator("#fault .whose").inner_text()
    assert "not whole" in page.locator(".answer .ending").inner_text()
    page.wait_for_selector("#standing:not(:empty)", state="attached")
    refused = [each for each in browse.said if "401" in each]
    assert refused == browse.said  # the page asked how the key stands
    browse.said.clear()


def test_an_error_leads_to_its_field(browse: Browse, server: Server) -> None:
    """Told while it is typed, and by the server where it is sent all the same."""
    page = play(browse, server.key)
    fill(page, temperature=9)
    assert "At most 2" == page.locator("#hint-temperature").inner_text()
    page.locator("#run").click()
    page.wait_for_selector("#fault:not([hidden])")
    assert "The request is at fault" in page.locator("#fault").inner_text()
    assert "above maximum" in page.locator("#hint-temperature").inner_text()
    page.locator("#fault button").click()
    assert "temperature" == page.evaluate("document.activeElement.dataset.field")
    browse.shoot(page, "playground-error")
    assert [] == violations(page)
    assert ["400" in each for each in browse.said] == [True]
    browse.said.clear()
    fill(page, temperature="warm")
    assert page.locator("#run").is_disabled()


def test_what_is_typed_stays_in_the_tab_alone(browse: Browse, server: Server) -> None:
    """Over a reload, in no lasting storage, and a key nowhere; a link leaves no trace behind."""
    page = play(browse, server.key)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#prompt").fill("a secret <b>\u202e")
    fill(page, temperature="0.3")
    page.locator("#other-key").fill("sk-typed-in-0000000000001")
    page.evaluate("navigator.clipboard.writeText('')")
    page.locator("#link").click()
    link = page.wait_for_function(COPIED).json_value()
    page.reload()
    page.wait_for_selector("#play:not([hidden])")
    assert "a secret <b>\u202e" == page.locator("#prompt").input_value()
    assert "0.3" == page.locator("#play-temperature").input_value()
    assert "" == page.locator("#other-key").input_value()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, link])", link)
    assert "{}" == json.dumps(json.loads(kept)[0])
    assert "sk-typed" not in kept
    page.evaluate("sessionStorage.clear()")
    page.goto("/console/own")
    page.goto(link)
    page.wait_for_selector("#play:not([hidden])")
    assert "a secret <b>\u202e" == page.locator("#prompt").input_value()
    assert "#" not in page.url
    browse.said.clear()  # the typed key was asked how it stands


def test_the_call_as_code(browse: Browse, server: Server) -> None:
    """As curl, Python and Node.js, with what is typed and without a key."""
    page = play(browse, server.key)
    page.locator("#prompt").fill("it's")
    page.locator("#code summary").click()
    code = page.locator("#code code")
    expect(code).to_contain_text(f"curl -N '{server.base_url}/v1/completions'")
    choose(page, "program", "python")
    expect(code).to_contain_text('prompt="it\'s"')
    choose(page, "program", "node")
    expect(code).to_contain_text('from "openai"')
    assert "sk-" not in code.inner_text()
    browse.shoot(page, "playground-code")


def test_the_session_opens_completions_with_its_mark_alone(browse: Browse, server: Server) -> None:
    """The cookie that a browser sends along by itself opens nothing."""
    page = play(browse, server.key)
    mark = page.locator("#play").get_attribute("data-mark") or ""
    body = {"model": server.model, "prompt": "x", "max_tokens": 1}
    statuses = [
        page.request.post("/v1/completions", data=body, headers=headers).status
        for headers in ({}, {"x-baton-csrf": "0" * len(mark)}, {"x-baton-csrf": mark})
    ]
    assert [401, 401, 200] == statuses


def hostile_stream(route: Route) -> None:
    """What a hostile upstream could make of an answer, in the interface's own wire format."""
    logprobs = {
        "tokens": [HOSTILE],
        "token_logprobs": [-1.0],
        "top_logprobs": [{HOSTILE: -1.0, "</span><script>window.hit=1</script>": -2.0}],
        "text_offset": [0],
    }
    parts: list[dict[str, Any]] = [
        {"text": HOSTILE, "logprobs": logprobs},
        {"text": "x" * 1_000_000, "logprobs": None, "finish_reason": "stop"},
        {"text": "y" * 1_000_000, "index": 1, "finish_reason": HOSTILE},
    ]
    chunks: list[dict[str, Any]] = [
        {"id": HOSTILE, "choices": [{"index": 0, "finish_reason": None, **part}]} for part in parts
    ]
    chunks.append(
        {"error": {"message": HOSTILE, "type": HOSTILE, "param": HOSTILE, "code": HOSTILE}}
    )
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks)
    headers = {"content-type": "text/event-stream", "x-baton-upstream": "<b>u</b>"}
    route.fulfill(status=200, headers=headers, body=body)


def test_hostile_text_is_inert_and_the_page_stays_quick(browse: Browse, server: Server) -> None:
    """Scripts, terminal and direction codes, and lines of a million letters, in and out."""
    page = play(browse, server.key)
    page.route("**/v1/completions", hostile_stream)
    page.locator("#prompt").fill(HOSTILE.replace("\x07", "") + "z" * 1_000_000)
    page.evaluate("document.querySelector('#code').open = true")
    page.locator("#run").click()
    page.wait_for_selector("#fault:not([hidden])")
    page.locator(".answer .token").first.hover()
    shown = page.locator("#output").inner_text() + page.locator("#card").inner_text()
    shown += page.locator("#fault").inner_text()
    assert "<script>window.hit=1</script>" in shown
    assert "\u241b[31mred" in shown
    assert not re.search("[\x1b\x07\u202e\u2066\u200b]", shown)
    assert len(shown) < 500_000
    assert page.evaluate("window.hit") is None
    assert 0 == page.locator("#output img, #output script, #fault img, #card script").count()
    choose(page, "view", "json")
    assert "\x1b" not in page.locator("#json").inner_text()
    frames = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    began = time.monotonic()
    page.evaluate(frames)
    assert time.monotonic() - began < 1.0
