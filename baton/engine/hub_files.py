"""Which of a repository's files a name means. Pure.

A quant is known by the end of a file's name, as people and llama.cpp read it: `Q4_K_M` of
`Some-Model-Q4_K_M.gguf`, `UD-Q4_K_XL` of `Some-Model-UD-Q4_K_XL-00001-of-00002.gguf`. Where a name
fits more than one model, or none, nothing is guessed: what there is is told.
"""

import re
from collections.abc import Iterable

import msgspec

from baton.engine.models import NotFetched
from baton.model_names import HubName, is_gguf_path, split_part, split_paths, stem

USUAL_QUANT = "Q4_K_M"
"""Taken where no quant is named and there is more than one, as llama.cpp and Ollama do."""
QUANT = r"(?:.*?[-._])??((?:UD-)?(?:IQ|TQ|Q)\d[A-Z0-9_]*|B?F(?:P)?(?:16|32)|(?:MX|NV)FP4[A-Z0-9_]*)"
BESIDE = r"(?:.*[-._])?(?:mmproj|imatrix)(?:[-._].*)?|(?:mtp|eagle3|dflash|dspark)-.*"
"""Files that stand beside a model and are none: projectors, matrices, drafts."""
TOLD_MAX = 30


class HubFile(msgspec.Struct, frozen=True):
    """A GGUF file of a repository, or one part of a model in several."""

    path: str
    size: int
    """0 where the hub does not tell."""
    sha256: str
    """"" where the hub does not tell."""


def choose(files: Iterable[HubFile], name: HubName) -> tuple[HubFile, ...]:
    """The file that `name` means, or all parts of it, in order. Raises NotFetched."""
    known = {file.path: file for file in files if is_gguf_path(file.path)}
    first = name.path or _by_quant(sorted(filter(_is_model, known)), name)
    missing = [path for path in split_paths(first) if path not in known]
    if missing == [first]:
        raise NotFetched(f"{name.repository} has no file {first}; it has {_told(known)}")
    if missing:
        raise NotFetched(f"{name.repository} is not whole: it has no file {_told(missing)}")
    return tuple(known[path] for path in split_paths(first))


def _is_model(path: str) -> bool:
    """Whether a name by quant may mean it: a model's only or first file."""
    part = split_part(path)
    return (part is None or part[1] == 1) and not re.fullmatch(BESIDE, stem(path), re.IGNORECASE)


def quant(path: str) -> str:
    """In capitals; "" where the name tells none."""
    found = re.fullmatch(QUANT, stem(path), re.IGNORECASE)
    return found[1].upper() if found else ""


def _by_quant(models: list[str], name: HubName) -> str:
    if not models:
        raise NotFetched(f"{name.repository} has no GGUF file: name a repository that has some")
    if not name.quant and len(models) == 1:
        return models[0]
    fitting = _fitting(models, name.quant or USUAL_QUANT)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotFetched(
            f"{name.quant or USUAL_QUANT} of {name.repository} is more than one model: name the"
            f" file, {_told(f'hf:{name.repository}/{path}' for path in fitting)}"
        )
    there = _told(dict.fromkeys(quant(path) or path for path in models))
    if name.quant:
        raise NotFetched(f"{name.repository} has no {name.quant}; it has {there}")
    raise NotFetched(
        f"{name.repository} has more than one model: name one as hf:{name.repository}:QUANT; it has"
        f" {there}"
    )


def _fitting(models: list[str], wanted: str) -> list[str]:
    """Those whose quant it is; else those whose name ends so, or has it within."""
    word = re.escape(wanted)
    exact = [path for path in models if quant(path) == wanted.upper()]
    for pattern in (rf"(?:.*[-._])?{word}", rf"(?:.*[-._])?{word}[-._].*"):
        exact = exact or [p for p in models if re.fullmatch(pattern, stem(p), re.IGNORECASE)]
    return exact


def _told(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - TOLD_MAX} more" if len(found) > TOLD_MAX else ""
    return (", ".join(found[:TOLD_MAX]) or "no GGUF file") + more
