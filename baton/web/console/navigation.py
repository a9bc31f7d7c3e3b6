"""The menu: which pages there are, and whose key opens each."""

from dataclasses import dataclass

from baton.stores.base import KeyRecord
from baton.web.operation import ROLES, Access


@dataclass(frozen=True, slots=True)
class Item:
    """A page of the menu. `name` is the end of its path, and of the key of its text (`nav.…`)."""

    name: str
    access: Access


MENU = (
    Item("overview", Access.REPORTS),
    Item("usage", Access.KEY),
    Item("requests", Access.KEY),
    Item("playground", Access.KEY),
    Item("keys", Access.TEAM),
    Item("accounts", Access.TEAM),
    Item("upstreams", Access.ADMIN),
    Item("models", Access.KEY),
    Item("audit", Access.ADMIN),
    Item("own", Access.KEY),
)


def menu(record: KeyRecord) -> list[Item]:
    """What this key's bearer finds there."""
    return [item for item in MENU if allowed(item.access, record)]


def allowed(access: Access, record: KeyRecord) -> bool:
    """Whether a key's role opens what demands that access."""
    if record.role == "team_admin" and record.owner is None:
        return access is Access.KEY
    return record.role in ROLES.get(access, ())


def home(record: KeyRecord) -> str:
    """Where a sign-in leads."""
    return menu(record)[0].name
