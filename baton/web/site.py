"""What the documents and pages are made of, prepared once per worker: texts, files, templates."""

import hashlib
import mimetypes
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import msgspec

from baton.web import guide, openapi
from baton.web.contract import contract
from baton.web.operation import AnyOperation
from baton.web.services import Services
from baton.web.texts import Language, Texts, load

HERE = pathlib.Path(__file__).parent
MODULE_TYPE = "text/javascript"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of ours, in memory. `version` changes with its bytes, so that it can be cached for
    good.
    """

    content: bytes
    media: str
    version: str


class Site:
    """Everything that does not change while a worker runs."""

    def __init__(self, services: Services, operations: Sequence[AnyOperation]) -> None:
        self.operations = tuple(operations)
        self.texts: dict[Language, Texts] = load()
        settings, address = services.settings, services.settings.address
        whole = any(one.for_operators for one in self.operations)
        self.apart = whole and settings.admin_listen != ""
        """Whether it is that of a listener for operators."""
        own, version = settings.admin_address if whole else address, services.version
        self.relay = openapi.document(self.operations, own, version, self.texts["en"])
        self.guide = guide.load(self.texts, address, settings.admin_address if whole else None)
        self.contract = contract(address, self.texts["zh"])
        self.static = {path.name: static_file(path) for path in (HERE / "static").iterdir()}
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def operation(self, tag: str, operation_id: str) -> AnyOperation | None:
        wanted = (tag, operation_id)
        return next((one for one in self.operations if (one.tag, one.id) == wanted), None)


def static_file(path: pathlib.Path) -> StaticFile:
    content = path.read_bytes()
    media = MODULE_TYPE if path.suffix == ".js" else mimetypes.types_map[path.suffix]
    return StaticFile(content, media, hashlib.sha256(content).hexdigest()[:16])


def pretty(document: object) -> bytes:
    """JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
