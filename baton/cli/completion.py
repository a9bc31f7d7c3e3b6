"""`baton completion SHELL`: a script that completes commands, options and their known values.

The script holds all of them, so that a tab costs no start of Python. It finds how far the words so
far lead into the tree of commands (`baton key create`), then offers what can follow there.
"""

import enum
import shlex
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from baton.cli.tree import Node, tree


class Shell(enum.StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def run(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print what makes a shell complete Baton's commands.

    bash: baton completion bash > ~/.local/share/bash-completion/completions/baton

    zsh: baton completion zsh > a folder of $fpath, as _baton

    fish: baton completion fish > ~/.config/fish/completions/baton.fish
    """
    print(SCRIPTS[shell](tree()), end="")


def bash(root: Node) -> str:
    return f"""\
_baton() {{
    local here=baton at words
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "$here ${{COMP_WORDS[at]}}" in
            {_patterns(root)}) here="$here ${{COMP_WORDS[at]}}" ;;
        esac
    done
    case "$here $before" in
{_lines(_bash_values(root), 8)}
        *)
            case "$here" in
{_lines(_bash_words(root), 16)}
            esac
            ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _baton baton
"""


def zsh(root: Node) -> str:
    return f"""\
#compdef baton
_baton() {{
    local at here=baton
    local -a found
    for ((at = 2; at < CURRENT; at++)); do
        case "$here $words[at]" in
            {_patterns(root)}) here="$here $words[at]" ;;
        esac
    done
    case "$here $words[CURRENT-1]" in
{_lines(_zsh_values(root), 8)}
    esac
    case "$here" in
{_lines(_zsh_words(root), 8)}
    esac
    _describe -o baton found || _files
}}
compdef _baton baton
"""


def fish(root: Node) -> str:
    return f"""\
function __baton_here
    set -l here baton
    set -l given (commandline -opc)
    for word in $given[2..-1]
        switch "$here $word"
            case {" ".join(_quoted(node.name) for node in _below(root))}
                set here "$here $word"
        end
    end
    test "$here" = "$argv"
end
{_lines(_fish_lines(root), 0)}
"""


SCRIPTS: dict[Shell, Callable[[Node], str]] = {
    Shell.BASH: bash,
    Shell.ZSH: zsh,
    Shell.FISH: fish,
}


def _bash_values(root: Node) -> Iterator[str]:
    for place, values in _valued(root):
        yield f"{_quoted(place)}) words={_quoted(' '.join(values))} ;;"


def _bash_words(root: Node) -> Iterator[str]:
    for node in root.all():
        words = [word for word, _ in _following(node)]
        yield f"{_quoted(node.name)}) words={_quoted(' '.join(words))} ;;"


def _zsh_values(root: Node) -> Iterator[str]:
    for place, values in _valued(root):
        offer = f"compadd -- {' '.join(map(_quoted, values))}" if values else "_files"
        yield f"{_quoted(place)}) {offer}; return ;;"


def _zsh_words(root: Node) -> Iterator[str]:
    for node in root.all():
        found = [f"{word}:{said}" if said else word for word, said in _following(node)]
        yield f"{_quoted(node.name)}) found=({' '.join(map(_quoted, found))}) ;;"


def _fish_lines(root: Node) -> Iterator[str]:
    for node in root.all():
        start = f"complete -c baton -n {_quoted(f'__baton_here {node.name}')}"
        for below in node.nodes:
            yield f"{start} -f -a {_quoted(below.word)} -d {_quoted(below.help)}"
        for argument in node.arguments:
            if argument.values:
                yield f"{start} -f -a {_quoted(' '.join(argument.values))}"
        for option in node.options:
            values = f" -x -a {_quoted(' '.join(option.values))}" if option.values else " -r"
            taken = values if option.takes_value else ""
            for name in option.names:
                yield f"{start} -l {name.lstrip('-')}{taken} -d {_quoted(option.help)}"


def _following(node: Node) -> Iterator[tuple[str, str]]:
    """Every word that may come next, and what it means."""
    for below in node.nodes:
        yield below.word, below.help
    for argument in node.arguments:
        yield from ((value, "") for value in argument.values)
    for option in node.options:
        yield from ((name, option.help) for name in option.names)


def _valued(root: Node) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Places after which a value comes, with those that are known: none, where files may do."""
    for node in root.all():
        for option in node.options:
            if option.takes_value:
                yield from ((f"{node.name} {name}", option.values) for name in option.names)


def _below(root: Node) -> list[Node]:
    return [node for node in root.all() if node is not root]


def _patterns(root: Node) -> str:
    return " | ".join(_quoted(node.name) for node in _below(root))


def _lines(lines: Iterator[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _quoted(text: str) -> str:
    """One word for any of the three shells."""
    return shlex.quote(text.replace("'", "’").replace("\\", ""))
