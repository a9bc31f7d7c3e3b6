"""The menu: which pages there are, and whose key opens each."""

from dataclasses import dataclass

from baton.stores.base import KeyRecord
from baton.web.operation import Access, opens


@dataclass(frozen=True, slots=True)
class Item:
    """A page of the menu. `name` is the end of its path, and of the key of its text (`nav.…`)."""

    name: str
    access: Access


OWN = "own"
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
    Item(OWN, Access.KEY),
)


def menu(record: KeyRecord) -> list[Item]:
    """What this key's bearer finds there."""
    return [item for item in MENU if opens(item.access, record)]


def home(record: KeyRecord) -> str:
    """Where a sign-in leads; to what that key is where it opens nothing."""
    return next((item.name for item in menu(record)), OWN)
