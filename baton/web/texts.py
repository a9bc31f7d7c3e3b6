"""Every word that people read on the pages, in both languages, from one table: texts.json."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import msgspec

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
DEFAULT: Language = "zh"
FILE = pathlib.Path(__file__).with_name("texts.json")


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text. Both languages, always."""

    zh: str
    en: str


class Texts(Mapping[str, str]):
    """The texts of one language, by key. A missing key is our bug: KeyError."""

    def __init__(self, table: Mapping[str, Pair], language: Language) -> None:
        self.language = language
        self._texts: dict[str, str] = {
            key: pair.zh if language == "zh" else pair.en for key, pair in table.items()
        }

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def load(*files: pathlib.Path) -> dict[Language, Texts]:
    """The texts of these files together; without any, those of the documents."""
    table: dict[str, Pair] = {}
    for file in files or (FILE,):
        table |= msgspec.json.decode(file.read_bytes(), type=dict[str, Pair])
    return {language: Texts(table, language) for language in LANGUAGES}


def chosen(asked: str | None, accepted: str) -> Language:
    """The page's language: `?lang=`, else the browser's best of ours, else Chinese.

    >>> chosen(None, "de, en;q=0.8, zh;q=0.5"), chosen("zh", "en"), chosen(None, "")
    ('en', 'zh', 'zh')
    """
    for language in LANGUAGES:
        if asked == language:
            return language
    best, best_quality = DEFAULT, 0.0
    for part in accepted.split(","):
        name, _, parameters = part.partition(";")
        found = next((one for one in LANGUAGES if name.strip().lower().startswith(one)), None)
        quality = _quality(parameters)
        if found is not None and quality > best_quality:
            best, best_quality = found, quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
