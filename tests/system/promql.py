"""The part of Prometheus' language that the dashboard and the alerts use: a strict parser.

Whatever it does not know is an error, so that a typing mistake in an expression cannot pass.
"""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:e\d+)?)|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)"""
    r"""|(?P<text>"[^"]*")|(?P<range>\[(?:\$__rate_interval|\d+[smh])\])"""
    r"""|(?P<sign>=~|==|!=|!~|[-+*/(){},=<>]))"""
)
AGGREGATIONS = ("sum", "max", "min", "avg", "count")
RANGED = ("rate", "increase")
"""Functions that take one selector over a range."""
OPERATORS = ("+", "-", "*", "/", "or", "and", "==", ">", "<")


class NotUnderstood(Exception):
    """Not an expression, or not one of the known part of the language."""


@dataclass
class Selector:
    metric: str
    matchers: list[tuple[str, str, str]]
    """Label, operator, value."""
    ranged: bool
    grouped: set[str] = field(default_factory=set)
    """Labels that an aggregation around it keeps."""

    @property
    def labels(self) -> set[str]:
        """Every label that it must have."""
        return {label for label, _, _ in self.matchers} | self.grouped


def parse(text: str) -> list[Selector]:
    """All selectors of an expression."""
    parser = Parser(_tokens(text))
    found = parser.expression()
    if parser.tokens:
        raise NotUnderstood(f"{parser.tokens[0]!r} after the end of {text!r}")
    return found


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise NotUnderstood(f"{text[at:]!r}")
        found.append(match.group().strip())
        at = match.end()
    return found


class Parser:
    """Recursive descent; each method eats what it names and returns its selectors."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def expression(self) -> list[Selector]:
        found = self.term()
        while self.tokens and self.tokens[0] in OPERATORS:
            self.tokens.pop(0)
            found += self.term()
        return found

    def term(self) -> list[Selector]:
        token = self.next()
        if token[0].isdigit():
            return []
        if token == "(":
            found = self.expression()
            self.expect(")")
            return found
        if not token[0].isalpha():
            raise NotUnderstood(f"{token!r} where a term begins")
        if token in AGGREGATIONS:
            return self.aggregation()
        if self.tokens[:1] == ["("]:
            return self.call(token)
        return [self.selector(token)]

    def aggregation(self) -> list[Selector]:
        kept: list[str] = []
        if self.tokens[:1] == ["by"]:
            self.next()
            self.expect("(")
            kept.append(self.next())
            while self.next_is(","):
                kept.append(self.next())
            self.expect(")")
        self.expect("(")
        found = self.expression()
        self.expect(")")
        for selector in found:
            selector.grouped |= set(kept)
        return found

    def call(self, name: str) -> list[Selector]:
        self.expect("(")
        found: list[Selector] = []
        if name == "histogram_quantile":
            if not 0 < float(self.next()) < 1:
                raise NotUnderstood("a quantile lies between 0 and 1")
            self.expect(",")
            found = self.expression()
            if not all(s.metric.endswith("_bucket") and "le" in s.grouped for s in found):
                raise NotUnderstood("a quantile is of buckets, by le")
        elif name in RANGED:
            found = [self.selector(self.next(), ranged=True)]
        elif name == "vector":
            float(self.next())
        else:
            raise NotUnderstood(f"the function {name}")
        self.expect(")")
        return found

    def selector(self, metric: str, *, ranged: bool = False) -> Selector:
        matchers: list[tuple[str, str, str]] = []
        if self.next_is("{"):
            while True:
                label, sign, value = self.next(), self.next(), self.next()
                if sign not in ("=", "!=", "=~", "!~") or not value.startswith('"'):
                    raise NotUnderstood(f"{label}{sign}{value}")
                matchers.append((label, sign, value[1:-1]))
                if not self.next_is(","):
                    break
            self.expect("}")
        if (self.tokens[:1] or [""])[0].startswith("[") != ranged:
            raise NotUnderstood(f"{metric}: a rate needs a range, and nothing else has one")
        if ranged:
            self.next()
        return Selector(metric, matchers, ranged)

    def next(self) -> str:
        if not self.tokens:
            raise NotUnderstood("it ends too early")
        return self.tokens.pop(0)

    def next_is(self, token: str) -> bool:
        """Eat it if it comes next."""
        return bool(self.tokens) and self.tokens[0] == token and bool(self.tokens.pop(0))

    def expect(self, token: str) -> None:
        if (found := self.next()) != token:
            raise NotUnderstood(f"{found!r} instead of {token!r}")
