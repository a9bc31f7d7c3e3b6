"""The content on a request's page: asked for, inert, bounded, and for those alone who may."""

import re

from baton.stores.contents import Content
from baton.web.console import contents
from baton.web.console.contents import Text, shown
from tests.bookkeeping import new_key
from tests.fakes.web_parts import USER_KEY, Web
from tests.web.console.booked import book, keep
from tests.web.console.browsing import visitor

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\r\n{{ 7 * 7 }}"


def content(*prompts: str | list[int], **answers: str) -> Content:
    return Content(
        prompts=list(prompts),
        suffix=None,
        completions={int(name[1:]): text for name, text in answers.items()},
        cut_at_bytes=None,
        bytes=1,
    )


def test_of_one_there_is_no_number() -> None:
    """Of several there is; token ids are shown as such."""
    assert [Text("prompt", None, "p"), Text("completion", None, "a")] == shown(
        content("p", c0="a")
    ).texts
    several = shown(content([1, 2], "q", c1="b"))
    assert [Text("prompt", 0, "[1, 2]"), Text("prompt", 1, "q"), Text("completion", 1, "b")] == (
        several.texts
    )
    assert (True, False) == (several.answered, several.more)
    assert not shown(content("p")).answered


def test_a_page_shows_the_beginning_of_much() -> None:
    """So many characters and texts of each side; a long prompt leaves place for its answer."""
    most, many = contents.CHARACTERS_MAX, contents.TEXTS_MAX
    long = shown(content("p" * (most + 1), "q", c0="a"))
    assert [most, 1] == [len(one.text) for one in long.texts]
    assert long.more
    assert not shown(content("p" * most, c0="a" * most)).more
    crowd = shown(content(*["p"] * (many + 1)))
    assert (many, True) == (len(crowd.texts), crowd.more)


def test_it_is_asked_for(site: Web) -> None:
    """The page says that it is kept; a form shows it, and each time is in the audit log. Its
    address opened anew leads back."""
    store = site.parts.store
    key = new_key(store, "contents-asked", keep_content_days=2)
    keep(store, key, "contents-1", HOSTILE, "the answer", cut_at_bytes=777)
    one, before = visitor(site), store.changes.latest()
    page = one.get("/console/requests/contents-1").text
    assert "Show the content" in page
    assert "the answer" not in page
    assert before == store.changes.latest()
    answer = one.post("/console/requests/contents-1/content")
    assert 200 == answer.status
    assert "the answer" in answer.text
    assert "Cut at bytes: 777" in answer.text
    assert [("content", "read")] == [(c.kind, c.action) for c in store.changes.since(before)]
    assert "content of request" in one.get("/console/audit?kind=content").text
    left = one.get("/console/requests/contents-1/content")
    assert (303, True) == (left.status, left.headers["location"].endswith("requests/contents-1"))


def test_hostile_text_is_inert(site: Web) -> None:
    """Scripts, what a terminal acts on, direction, a megabyte in one line: of either side."""
    store = site.parts.store
    key = new_key(store, "contents-hostile", keep_content_days=2)
    keep(
        store,
        key,
        "contents-hostile",
        HOSTILE + "x" * 1_000_000,
        HOSTILE,
        HOSTILE + "\u202e" * 10**6,
    )
    answer = visitor(site).post("/console/requests/contents-hostile/content")
    assert 200 == answer.status
    assert 3 == answer.text.count(
        "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e\\x0d\n{{ 7"
    )
    for acting in ("<script>alert", "\x1b", "\u202e", "\r"):
        assert acting not in answer.text.replace("\r\n", ""), acting
    assert len(answer.raw) < 400_000
    assert "/admin/v1/requests/contents-hostile/content" in answer.text


def test_who_may_not_is_told_that_it_is_kept(site: Web) -> None:
    """Its caller and who reads reports: no button, no text, 403; and why where nothing is."""
    store = site.parts.store
    new_key(store, "contents-billing", role="billing")
    key = new_key(store, "contents-own", keep_content_days=2)
    keep(store, key, "contents-2", "secret words")
    book(store, key, "contents-absent")
    for name in ("contents-own", "contents-billing"):
        one = visitor(site, f"sk-test-{name:_<40}")
        page = one.get("/console/requests/contents-2").text
        assert "only those who administer the key may read it" in page
        assert "Show the content" not in page
        assert 403 == one.post("/console/requests/contents-2/content").status
        assert "gave way" in one.get("/console/requests/contents-absent").text
    assert "2 days" in visitor(site, f"sk-test-{'contents-own':_<40}").get("/console/own").text
    book(store, site.parts.user, "contents-off")
    assert "the key keeps no content" in visitor(site).get("/console/requests/contents-off").text
    assert "Content kept" in visitor(site, USER_KEY).get("/console/own").text


def test_nothing_is_shown_that_is_gone(site: Web) -> None:
    """A page that was open when the key was switched off: the form says why there is nothing."""
    store = site.parts.store
    key = new_key(store, "contents-gone", keep_content_days=2)
    keep(store, key, "contents-gone", "gone words")
    store.keys.update(key.id, "test", keep_content_days=0)
    answer = visitor(site).post("/console/requests/contents-gone/content")
    assert "keeps no content" in answer.text
    assert "gone words" not in answer.text


def test_the_forms_of_keys(site: Web) -> None:
    """Set when it is made and later; empty is off; both languages say what off does."""
    one, store = visitor(site), site.parts.store
    made = one.post("/console/keys", {"name": "contents-form", "keep_content_days": "7"})
    found = re.search(r"keys/(key_\w+)", made.headers["location"])
    assert found is not None
    key_id = found.group(1)
    assert 7 == store.keys.get(key_id).keep_content_days
    page = one.get(f"/console/keys/{key_id}").text
    assert "7 days" in page
    assert "0 deletes all that was kept" in page
    assert "删除已保留的全部内容" in one.get(f"/console/keys/{key_id}?lang=zh").text
    assert (
        400 == one.post(f"/console/keys/{key_id}", {"name": "n", "keep_content_days": "91"}).status
    )
    assert 303 == one.post(f"/console/keys/{key_id}", {"name": "n", "keep_content_days": ""}).status
    assert 0 == store.keys.get(key_id).keep_content_days
