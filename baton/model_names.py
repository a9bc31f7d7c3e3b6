"""Names of models that are fetched, on a hub or in a package: what BATON_MODEL may say. Pure.

    hf:OWNER/REPO[@REVISION][:QUANT]       as llama.cpp's -hf takes it, with a revision
    hf:OWNER/REPO[@REVISION]/PATH.gguf     as the hub's own tools write it (hf:// is the same)
    package:NAME==VERSION[/PATH.gguf]      a wheel, and the file in it

each with #sha256=HEX at the end where the GGUF file must have that digest. A name is judged here
whole, before anything is asked for; so is every path that a server or an archive names.

No pattern is compiled when this is imported: hardly any start needs one.
"""

import re

import msgspec

HUB, PACKAGE = "hf:", "package:"
ENDING = ".gguf"
HUB_FORM = (
    "write it as hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE.gguf, with @REVISION after REPO where it"
    " must be that one"
)
PACKAGE_FORM = "write it as package:NAME==VERSION, or package:NAME==VERSION/PATH.gguf"

PARTS_OF_HUB = (
    r"([^/@:]+)/([^/@:]+)"  # owner and repository
    r"(?:@(refs/pr/\d+|[^/@:]+))?"
    r"(?::([^/@:]+)|/([^@:]+))?"  # quant, or path
)
PARTS_OF_PACKAGE = r"([^=/]+)==([^=/]+)(?:/(.+))?"
REPOSITORY_WORD = r"\w(?:[\w.-]{0,94}\w)?"
WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
REVISION = r"refs/pr/\d{1,9}|[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,94}"
SPLIT = r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf"
PIN = r"sha256=([0-9a-fA-F]{64})"

PATH_BYTES_MAX = 1024
SEGMENT_BYTES_MAX = 200
"""Of a file's name: file systems take 255, and an ending is added while it comes."""


class HubName(msgspec.Struct, frozen=True, kw_only=True):
    """A model on a hub: by its file, by its quant, or neither."""

    owner: str
    repo: str
    revision: str = ""
    """"" is the repository's default branch."""
    quant: str = ""
    path: str = ""
    sha256: str = ""

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.repo}"

    @property
    def text(self) -> str:
        """As it is written, without the digest."""
        revision = f"@{self.revision}" if self.revision else ""
        rest = f"/{self.path}" if self.path else f":{self.quant}" if self.quant else ""
        return f"{HUB}{self.repository}{revision}{rest}"

    @property
    def public_name(self) -> str:
        """Known before anything is fetched, the same for every revision."""
        return stem(self.path).lower() if self.path else self.repo.lower().removesuffix("-gguf")


class PackageName(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a wheel on the package index."""

    name: str
    version: str
    path: str = ""
    """Of the GGUF inside; "" where it holds exactly one."""
    sha256: str = ""

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def text(self) -> str:
        """As it is written, without the digest."""
        return f"{PACKAGE}{self.requirement}{f'/{self.path}' if self.path else ''}"

    @property
    def public_name(self) -> str:
        """Known before anything is fetched, the same for every version."""
        return (stem(self.path) if self.path else self.name).lower()


ModelName = HubName | PackageName


def parse(text: str) -> ModelName:
    """What the name says. ValueError goes on after the setting's name: `has no …: write it as …`;
    nothing of the name is said again, as it may be a URL with a password."""
    body, mark, pin = text.partition("#")
    found = re.fullmatch(PIN, pin)
    if mark and found is None:
        raise ValueError("has no digest behind #: write it as #sha256= and 64 hexadecimal digits")
    sha256 = found[1].lower() if found else ""
    if body.startswith(PACKAGE):
        return _package(body.removeprefix(PACKAGE), sha256)
    if body.startswith(HUB):
        return _hub(body.removeprefix(HUB).removeprefix("//"), sha256)
    raise ValueError(f"is a URL, which no model is named by: {HUB_FORM}")


def misset(text: str) -> str | None:
    """What is wrong with a name, or None."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


def _hub(body: str, sha256: str) -> HubName:
    found = re.fullmatch(PARTS_OF_HUB, body)
    if found is None:
        raise ValueError(f"names no model on a hub: {HUB_FORM}")
    owner, repo, revision, quant, path = (part or "" for part in found.groups())
    if not (_is_repository(owner) and _is_repository(repo)):
        raise ValueError(
            f"has no repository (OWNER/REPO of letters, digits, '-', '_' and '.'): {HUB_FORM}"
        )
    if revision and (not re.fullmatch(REVISION, revision) or ".." in revision):
        raise ValueError(f"has no revision (a branch, a tag, a commit) behind @: {HUB_FORM}")
    if quant and not re.fullmatch(WORD, quant, re.ASCII):
        raise ValueError(f"has no quant such as Q4_K_M behind the colon: {HUB_FORM}")
    if path:
        _judge_path(path)
    return HubName(owner=owner, repo=repo, revision=revision, quant=quant, path=path, sha256=sha256)


def _package(body: str, sha256: str) -> PackageName:
    found = re.fullmatch(PARTS_OF_PACKAGE, body)
    if found is None or not (
        re.fullmatch(WORD, found[1], re.ASCII) and re.fullmatch(VERSION, found[2], re.ASCII)
    ):
        raise ValueError(f"names no package in one version: {PACKAGE_FORM}")
    path = found[3] or ""
    if path:
        _judge_path(path)
    return PackageName(name=found[1], version=found[2], path=path, sha256=sha256)


def _is_repository(word: str) -> bool:
    return bool(re.fullmatch(REPOSITORY_WORD, word, re.ASCII)) and not (
        "--" in word or ".." in word
    )


def _judge_path(path: str) -> None:
    if not is_gguf_path(path):
        raise ValueError(f"has no path of a GGUF file ({ENDING}): {HUB_FORM}; {PACKAGE_FORM}")
    part = split_part(path)
    if part is not None and part[1] != 1:
        raise ValueError(
            f"names part {part[1]} of a model in {part[2]} files: name the first one, the others"
            " are fetched with it"
        )


def is_gguf_path(path: str) -> bool:
    """Whether `path` can name a GGUF file within a folder: whoever it comes from, it leads nowhere
    else, and its name can be a file's here and be shown on a terminal."""
    segments = path.split("/")
    return (
        path.isprintable()
        and "\\" not in path
        and path.lower().endswith(ENDING)
        and segments[-1].lower() != ENDING
        and not any(segment in ("", ".", "..") for segment in segments)
        and len(path.encode(errors="replace")) <= PATH_BYTES_MAX
        and len(segments[-1].encode(errors="replace")) <= SEGMENT_BYTES_MAX
    )


def split_part(path: str) -> tuple[str, int, int] | None:
    """(Beginning, number, count) of a file that is one part of a model, as llama.cpp splits it."""
    found = re.fullmatch(SPLIT, path)
    if found is None or not 1 <= int(found[2]) <= int(found[3]):
        return None
    return found[1], int(found[2]), int(found[3])


def split_paths(path: str) -> list[str]:
    """All files of the model that `path` is, or is the first part of."""
    part = split_part(path)
    if part is None:
        return [path]
    beginning, _, count = part
    return [f"{beginning}-{number:05}-of-{count:05}{ENDING}" for number in range(1, count + 1)]


def stem(path: str) -> str:
    """A model's file name without folder, ending and number of its part."""
    part = split_part(path)
    whole = part[0] if part else path[: -len(ENDING)]
    return whole.rsplit("/", 1)[-1]
