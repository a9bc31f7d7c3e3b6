"""Reading what stands in deploy/, without a container engine or a cluster."""

import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from baton import config, misset
from baton.config import Settings

ROOT = pathlib.Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
KNOWN = {f"BATON_{name.upper()}" for name in Settings.__struct_fields__}
HOME = "/var/lib/baton"
USER = 10001


def documents(path: pathlib.Path) -> list[dict[str, Any]]:
    """All YAML documents of a file; a key that stands twice in one place is an error."""
    text = path.read_text(encoding="utf-8")
    for node in yaml.compose_all(text):
        _check(node)
    return [each for each in yaml.safe_load_all(text) if each]


def _check(node: Any) -> None:
    """YAML's own rule, which PyYAML does not enforce."""
    children = list(node.value) if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in children]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        assert not twice, f"{twice} stand twice at {node.start_mark}"
        children = [value for _, value in children]
    for child in children:
        _check(child)


def instructions(path: pathlib.Path) -> list[tuple[str, str]]:
    """A Containerfile's instructions: word, and the rest on one line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, rest in found]


def image_environment() -> dict[str, str]:
    """What the image sets."""
    pairs = [rest for word, rest in instructions(DEPLOY / "Containerfile") if word == "ENV"]
    return dict(pair.split("=", 1) for text in pairs for pair in text.split())


def baton_only(variables: Iterable[str]) -> set[str]:
    return {name for name in variables if name.startswith("BATON_")}


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings that a process in the image has: raises where one cannot be used."""
    assert [] == misset.misspelt(environment, Settings.__struct_fields__)
    assert baton_only(environment) <= KNOWN
    return config.load({**image_environment(), **environment})


def is_pinned(image: str) -> bool:
    """Whether it names a version."""
    _, _, tag = image.rpartition("/")[2].partition(":")
    return bool(tag) and tag != "latest" and any(letter.isdigit() for letter in tag)
