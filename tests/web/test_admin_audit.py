"""The audit log: who changed what, as it was and as it became."""

from tests.fakes.web_parts import Web

AUDIT = "/admin/v1/audit"


def test_a_change_is_there_with_both_sides(site: Web) -> None:
    """Newest first: actor, object, action, the fields before and after; of a new value only that
    there is one."""
    key_id = site.admin.post("/admin/v1/keys", {"name": "seen", "requests_per_minute": 5}).json[
        "id"
    ]
    site.admin.ask("PATCH", f"/admin/v1/keys/{key_id}", b'{"requests_per_minute": 6}')
    rotated = site.admin.post(f"/admin/v1/keys/{key_id}/rotate", {}).json
    site.admin.post(f"/admin/v1/keys/{key_id}/revoke", {})
    answer = site.admin.get(f"{AUDIT}?object_id={key_id}")
    changes = answer.json["data"]
    assert ["revoke", "rotate", "update", "create"] == [each["action"] for each in changes]
    assert {(f"key:{site.parts.admin.id}", "key")} == {
        (each["actor"], each["kind"]) for each in changes
    }
    assert {"before": {"requests_per_minute": 5}, "after": {"requests_per_minute": 6}} == changes[
        2
    ]["detail"]
    assert {"hidden"} == {changes[1]["detail"][side]["digest"] for side in ("before", "after")}
    assert rotated["value"] not in answer.text


def test_pages_and_filters(site: Web) -> None:
    """Following `before` shows each change once; filters that fit nothing show nothing."""
    for number in range(4):
        site.admin.post("/admin/v1/organisations", {"name": f"audited {number}"})
    found: list[int] = []
    while True:
        before = f"&before={found[-1]}" if found else ""
        part = site.admin.get(f"{AUDIT}?kind=organisation&limit=3{before}").json
        found += [each["seq"] for each in part["data"]]
        if not part["has_more"]:
            break
    assert len(found) >= 4
    assert found == sorted(set(found), reverse=True)
    assert [] == site.admin.get(f"{AUDIT}?actor=nobody").json["data"]
    assert 400 == site.admin.get(f"{AUDIT}?actors=x").status
    assert 400 == site.admin.get(f"{AUDIT}?before={2**63}").status
    assert 403 == site.user.get(AUDIT).status
