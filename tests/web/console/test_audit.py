"""The audit log, field by field."""

import msgspec

from baton.web.admin_audit import Audited
from baton.web.console.audit import Difference, differences
from tests.fakes.web_parts import Web
from tests.web.console.browsing import visitor


def audited(detail: object) -> Audited:
    raw = None if detail is None else msgspec.Raw(msgspec.json.encode(detail))
    return Audited(
        seq=1, at_us=1, actor="cli", kind="key", object_id="k", action="update", detail=raw
    )


def test_what_changed() -> None:
    told = {"before": {"name": "a", "strict": False}, "after": {"name": "b", "strict": True}}
    assert [Difference("name", "a", "b"), Difference("strict", "false", "true")] == differences(
        audited(told)
    )
    assert [Difference("url", "–", "u")] == differences(audited({"url": "u", "secret": None}))
    assert [Difference("", "", "words")] == differences(audited("words"))
    assert [] == differences(audited(None))


def test_the_page_and_its_filters(site: Web) -> None:
    one = visitor(site)
    key = site.key()
    record = site.parts.store.keys.all()[-1]
    site.parts.store.keys.update(record.id, "cli", name="audit-renamed")
    page = one.get(f"/console/audit?object_id={record.id}").text
    assert "audit-renamed" in page
    assert key.key not in page
    assert record.id not in one.get("/console/audit?kind=price").text
    assert 200 == one.get("/console/audit?before=1").status
    assert 400 == one.get("/console/audit?before=x").status
