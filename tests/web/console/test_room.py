"""What pages are made of: every template compiles, every text has both languages."""

import re

from baton.web.console.room import HERE, Room
from baton.web.console.table import SCREENS
from tests.fakes.web_parts import Web


def test_every_template_compiles(site: Web) -> None:
    room = Room(site.parts.services())
    names = [path.name for path in (HERE / "templates").iterdir()]
    assert "base.html" in names
    for name in names:
        room.templates.get_template(name)
    assert SCREENS


def test_texts_that_templates_name_are_there(site: Web) -> None:
    texts = Room(site.parts.services()).texts["zh"]
    named = set()
    for path in (HERE / "templates").iterdir():
        named |= set(re.findall(r"\bt\['([^']+)'\]", path.read_text(encoding="utf-8")))
    assert "entrance.title" in named
    assert set() == named - set(texts)


def test_no_template_has_script_or_style_in_line(site: Web) -> None:
    """The policy would stop them, and leave the page without what they do."""
    for path in (HERE / "templates").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|style=|\son\w+=|javascript:", text), path.name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), path.name
        assert "|safe" not in text
