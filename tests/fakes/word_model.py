"""A deterministic language model of words for fakes: its next token depends on all text so far.

The distribution after a text is a function of SHA-256 of that text, so a prompt and the same prompt
as token ids, or a stream and its continuation from received text, agree exactly. Tokens are words
with their leading space, among them multi-byte ones; what is no word is one token per character,
and every id below CHARACTER_BASE that no word has is written as itself (" w100").
Eight candidates share all probability; any other token of a prompt has the logprob RARE.
"""

import dataclasses
import hashlib
import itertools
import math
import re
import sys

COMMON = "the a of and to in is was he for it with as his on be at by river stone light green small"
CODE = "old house under never again def return import class self print none true false code"
OTHERS = (" größe", " naïve", " 日本", "語", " 🚀", "é", " данные", "。", "\n", ".", ",", "'s")
SPOKEN = (*(f" {word}" for word in (*COMMON.split(), *CODE.split())), *OTHERS)
EOS = 2
WORDS = (*SPOKEN[:EOS], "<eos>", *SPOKEN[EOS:])
IDS = {word: number for number, word in enumerate(WORDS) if number != EOS}
CHARACTER_BASE = 1000
CANDIDATES = 8
RARE = -20.0
NUMBERED = {f" w{number:03}": number for number in range(len(WORDS), CHARACTER_BASE)}
VOCABULARY_SIZE = CHARACTER_BASE + sys.maxunicode + 1
PIECES = re.compile(
    "|".join(re.escape(word) for word in sorted(SPOKEN, key=len, reverse=True)) + r"| w[0-9]{3}|.",
    re.DOTALL,
)


def encode(text: str) -> list[int]:
    """Longest words first, else characters."""
    return [token for piece in PIECES.findall(text) for token in _ids(piece)]


def _ids(piece: str) -> list[int]:
    """Of a word, a number or a character; digits that are no id are characters."""
    known = IDS.get(piece, NUMBERED.get(piece))
    return (
        [known] if known is not None else [CHARACTER_BASE + ord(character) for character in piece]
    )


def piece(token: int) -> str:
    """A token's text; the end of the text has none."""
    if token == EOS:
        return ""
    if token >= CHARACTER_BASE:
        return chr(token - CHARACTER_BASE)
    return WORDS[token] if token < len(WORDS) else f" w{token:03}"


def decode(tokens: list[int]) -> str:
    return "".join(map(piece, tokens))


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """One token with its logprob and its alternatives, greatest first."""

    token: int
    logprob: float | None
    top: dict[str, float]
    """Empty for the first token of a prompt."""


def chat_position(position: Position) -> dict[str, object]:
    """In the shape of logprobs that chats have."""
    top = [
        {"token": other, "logprob": logprob, "bytes": list(other.encode())}
        for other, logprob in position.top.items()
    ]
    text = piece(position.token)
    shown = {"token": text, "logprob": position.logprob, "bytes": list(text.encode())}
    return {**shown, "id": position.token, "top_logprobs": top}


def distribution(text: str) -> dict[int, float]:
    """Candidates after this text with their logprobs, greatest first."""
    digest = hashlib.sha256(text.encode()).digest()
    tokens: dict[int, float] = {}
    for number in range(CANDIDATES):
        token = (digest[number] * 7 + number * 13) % len(WORDS)
        tokens[token] = max(tokens.get(token, 0.0), 0.05 + digest[8 + number] / 64)
    if len(tokens) > 1 and digest[20] > 8:
        tokens.pop(EOS, None)  # texts end rarely
    total = math.log(sum(math.exp(logit) for logit in tokens.values()))
    ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
    return {token: logit - total for token, logit in ranked}


def position(text: str, token: int, alternatives: int) -> Position:
    """The logprobs of this token after this text."""
    found = distribution(text)
    others = (other for other in range(len(WORDS)) if other not in found)
    ranked = itertools.islice(itertools.chain(found, others), alternatives)
    top = {WORDS[other]: found.get(other, RARE) for other in ranked}
    logprob = found.get(token, RARE)
    top[piece(token) or WORDS[EOS]] = logprob
    return Position(token, logprob, top)


def scored_prompt(tokens: list[int], alternatives: int) -> list[Position]:
    """Every token of a prompt; the first has no logprob."""
    positions, text = [], ""
    for number, token in enumerate(tokens):
        positions.append(
            Position(token, None, {}) if number == 0 else position(text, token, alternatives)
        )
        text += piece(token)
    return positions


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    max_tokens: int
    temperature: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    alternatives: int = 0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()


def adjusted(found: dict[int, float], said: list[int], sampling: Sampling) -> dict[int, float]:
    """Biased, then penalised for what was said already; not certainty in sum any more."""
    changed = dict(found)
    for token, bias in sampling.logit_bias:
        changed[token] = changed.get(token, RARE) + bias
    for token in changed:
        if token in said:
            changed[token] -= sampling.presence_penalty
            changed[token] -= sampling.frequency_penalty * said.count(token)
    return dict(sorted(changed.items(), key=lambda item: (-item[1], item[0])))


def choose(text: str, said: list[int], sampling: Sampling) -> int:
    """The next token: the likeliest at temperature 0, else drawn by a hash of text and seed."""
    found = adjusted(distribution(text), said, sampling)
    if sampling.temperature == 0:
        return next(iter(found))
    total = sum(map(math.exp, found.values()))
    digest = hashlib.sha256(f"{sampling.seed}\0{text}".encode()).digest()
    point = int.from_bytes(digest[:7]) / 2**56 * min(1.0, sampling.top_p) * total
    for token, logprob in found.items():
        point -= math.exp(logprob)
        if point <= 0:
            return token
    return next(reversed(found))


@dataclasses.dataclass(slots=True)
class Generated:
    """One choice, whole: pieces that were kept, as the wire shows them one by one."""

    positions: list[Position]
    pieces: list[str]
    finish_reason: str
    counted: int
    """Tokens computed, the one that stopped included."""
    end: Position | None = None
    """The end token, where it came: no part of `positions`."""


def generate(prompt: str, sampling: Sampling) -> Generated:
    """Tokens until the end token, a stop string (cut off) or max_tokens."""
    found = Generated([], [], "length", 0)
    text = ""
    said: list[int] = []
    for _ in range(sampling.max_tokens):
        token = choose(prompt + text, said, sampling)
        said.append(token)
        found.counted += 1
        here = position(prompt + text, token, sampling.alternatives)
        if token == EOS:
            found.finish_reason, found.end = "stop", here
            break
        found.positions.append(here)
        found.pieces.append(piece(token))
        text += piece(token)
        places = [text.find(stop) for stop in sampling.stop if stop in text]
        if places:
            cut(found, min(places))
            break
    return found


def cut(found: Generated, length: int) -> None:
    """Keep so many characters; tokens of which nothing is left are gone."""
    found.finish_reason = "stop"
    kept: list[str] = []
    for text in found.pieces:
        room = length - sum(map(len, kept))
        if room <= 0:
            break
        kept.append(text[:room])
    found.pieces = kept
    found.positions = found.positions[: len(kept)]
