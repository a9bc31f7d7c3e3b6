"""The guide's pages, in order, in both languages."""

import json
import pathlib
from urllib.parse import unquote

import pytest

from baton.web.guide import FOLDER, Guide, PageError, load
from baton.web.texts import LANGUAGES, Language
from baton.web.texts import load as load_texts

ADDRESS = "https://relay.test/base"


@pytest.fixture(scope="module")
def guide() -> Guide:
    return load(load_texts(), ADDRESS, ADDRESS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_can_be_shown(guide: Guide, language: Language) -> None:
    """None is written in a way that the renderer refuses; each has a title of its own."""
    pages = [guide.page(language, name) for name in guide.names]
    titles = [page.title for page in pages if page is not None]
    assert len(guide.names) == len(set(titles)) > 20
    assert guide.page(language, "nothing") is None


def test_neighbours_lead_through_all_pages(guide: Guide) -> None:
    """From the first to the last, and back."""
    name = guide.names[0]
    walked: list[str] = []
    while name:
        page = guide.page("en", name)
        assert page is not None
        assert (page.previous.name if page.previous else None) == (walked[-1] if walked else None)
        walked.append(name)
        name = page.next.name if page.next else ""
    assert list(guide.names) == walked


def test_all_files_are_listed(guide: Guide) -> None:
    """No page lies in the folder that nobody is led to."""
    for language in LANGUAGES:
        assert set(guide.names) == {path.stem for path in (FOLDER / language).glob("*.md")}


def test_anchors_of_links_exist(guide: Guide) -> None:
    """A link to a place in a page leads to a heading of that page."""
    anchors = {
        (language, name): {heading.anchor for heading in page.rendered.headings}
        for language in LANGUAGES
        for name in guide.names
        if (page := guide.page(language, name)) is not None
    }
    for language, name in anchors:
        page = guide.page(language, name)
        assert page is not None
        for part in page.rendered.html.split('href="')[1:]:
            target, _, anchor = part.partition('"')[0].partition("#")
            if anchor and "/" not in target:
                assert unquote(anchor) in anchors[language, target.partition("?")[0] or name]


def test_links_stay_here(guide: Guide) -> None:
    """To neighbours in the same language, to pages of the server; nowhere else."""
    assert "keys?lang=zh#limits" == guide.link("zh", "keys.md#limits")
    assert "../../docs/capabilities?lang=en" == guide.link("en", "/docs/capabilities")
    served = guide.link("zh", "../../reference/capabilities.md#fields-of-one-engine")
    assert "../../docs/capabilities?lang=zh#fields-of-one-engine" == served
    assert "#here" == guide.link("en", "#here")
    for href in ("https://elsewhere.test/", "nothing.md", "../README.md", ""):
        with pytest.raises(PageError):
            guide.link("en", href)


def test_the_index_has_every_passage(guide: Guide) -> None:
    """Small enough to be fetched at once."""
    for language in LANGUAGES:
        body = guide.index(language)
        entries = json.loads(body)
        assert len(body) < 256 * 1024
        assert {f"guide/{name}" for name in guide.names} == {entry["page"] for entry in entries}
        assert any("http-no-delay" in entry["text"] for entry in entries)


def test_a_page_that_is_listed_and_missing_stops_the_start(tmp_path: pathlib.Path) -> None:
    """Better than a page that is not there later."""
    (tmp_path / "contents.toml").write_text('[[section]]\nname = "start"\npages = ["gone"]\n')
    with pytest.raises(FileNotFoundError):
        load(load_texts(), ADDRESS, None, tmp_path)
