"""Each role finds its pages in the menu."""

import msgspec
import pytest

from baton.stores.base import KeyRecord, Role
from baton.web.console.navigation import MENU, home, menu
from baton.web.console.table import SCREENS
from baton.web.operation import Access, opens

RECORD = KeyRecord(id="key_1", name="n", digest=b"", head="", tail="", created_us=0)


def test_every_item_leads_to_a_screen_of_the_same_access() -> None:
    pages = {one.path: one.access for one in SCREENS if one.method == "GET"}
    assert {f"/console/{item.name}": item.access for item in MENU}.items() <= pages.items()


@pytest.mark.parametrize("role", ["user", "admin", "billing", "team_admin"])
def test_a_role_finds_what_it_may_open(role: Role) -> None:
    record = msgspec.structs.replace(RECORD, role=role, owner="team_1")
    assert all(opens(item.access, record) for item in menu(record))
    assert home(record) == menu(record)[0].name


def test_a_team_admin_without_a_team_has_nothing_to_run() -> None:
    """None is made; its menu offers no page that would refuse it."""
    record = msgspec.structs.replace(RECORD, role="team_admin")
    assert not any(opens(access, record) for access in Access)
    assert ([], "own") == (menu(record), home(record))
