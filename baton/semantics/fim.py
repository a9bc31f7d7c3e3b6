"""Fill in the middle: the prompt that a model family was trained on, or a fill by ranking.

Two ways to honour `suffix`. Models with fill-in-the-middle tokens take one prompt of both texts
and marks around them (`TEMPLATES`, the text form for servers that take text; who has the vocabulary
inserts the marks as ids instead). Other models cannot look ahead, but can tell how likely a text
is: `RankedFill` samples candidates after the prompt, cuts each where it may meet the suffix, and
keeps the one after which the suffix is likeliest.
"""

import re
from collections.abc import Iterable
from itertools import zip_longest

import msgspec

from baton.semantics.events import Call, Delta, FinishReason, Logprobs, Usage
from baton.semantics.logprobs import join

# Templates


class Template(msgspec.Struct, frozen=True):
    """The marks of one model family, as text."""

    prefix: str
    suffix: str
    middle: str
    suffix_first: bool = False
    """Suffix, prefix, middle: the other order that families were trained on."""
    stops: tuple[str, ...] = ()
    """Texts that end the middle besides the marks."""

    def prompt(self, prefix: str, suffix: str) -> str:
        if self.suffix_first:
            return f"{self.suffix}{suffix}{self.prefix}{prefix}{self.middle}"
        return f"{self.prefix}{prefix}{self.suffix}{suffix}{self.middle}"

    @property
    def marks(self) -> tuple[str, ...]:
        """What ends a generated middle, and must not stand in a caller's text."""
        own = (self.prefix.strip(), self.suffix.strip(), self.middle.strip())
        return tuple(mark for mark in (*own, *self.stops) if mark)

    def marked(self, text: str) -> bool:
        """Whether the text holds a mark: sent as text, a caller's own would be taken for ours."""
        return any(mark in text for mark in self.marks)


_QWEN = Template(
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    stops=("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|endoftext|>", "<|im_start|>"),
)
_STARCODER = Template(
    "<fim_prefix>", "<fim_suffix>", "<fim_middle>", stops=("<file_sep>", "<|endoftext|>")
)

TEMPLATES = {
    "qwen": _QWEN,
    "codegemma": msgspec.structs.replace(_QWEN, stops=("<|file_separator|>", "<eos>")),
    "granite4": msgspec.structs.replace(_QWEN, stops=("<|fim_pad|>", "<|end_of_text|>")),
    "starcoder": _STARCODER,
    "granite3": _STARCODER,
    "santacoder": Template(
        "<fim-prefix>", "<fim-suffix>", "<fim-middle>", stops=("<|endoftext|>",)
    ),
    # The bars are U+FF5C and the low block is U+2581, as in the vocabulary.
    "deepseek": Template(
        "<\uff5cfim\u2581begin\uff5c>",
        "<\uff5cfim\u2581hole\uff5c>",
        "<\uff5cfim\u2581end\uff5c>",
        stops=("<\uff5cend\u2581of\u2581sentence\uff5c>",),
    ),
    "codellama": Template("<PRE> ", " <SUF>", " <MID>", stops=("<EOT>",)),
    "codestral": Template("[PREFIX]", "[SUFFIX]", "", suffix_first=True, stops=("</s>",)),
    "seed-coder": Template("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),
}
"""By the name that an upstream's configuration gives."""

FAMILIES = (
    (re.compile(r"qwen-?(2\.5|3)-?coder|qwen3-coder"), "qwen"),
    (re.compile(r"codegemma"), "codegemma"),
    (re.compile(r"granite-?4"), "granite4"),
    (re.compile(r"granite-?3.*code|granite.*code.*(base|instruct)"), "granite3"),
    (re.compile(r"santacoder"), "santacoder"),
    (re.compile(r"starcoder|stable-?code"), "starcoder"),
    (re.compile(r"deepseek-?coder"), "deepseek"),
    (re.compile(r"code-?llama-?(7b|13b)"), "codellama"),
    (re.compile(r"codestral"), "codestral"),
    (re.compile(r"seed-?coder"), "seed-coder"),
)
"""Model names whose family was trained to fill in the middle with these marks. Larger CodeLlamas
and general models were not."""


def family(model: str) -> str:
    """The name of the template of a model that is called so; "" where its name does not tell."""
    name = model.rpartition("/")[2].lower()
    return next((template for pattern, template in FAMILIES if pattern.search(name)), "")


# The likelihood-ranked fill

PREFIX_CHARS_MAX = 512
SUFFIX_CHARS_MAX = 160
"""What is scored: this much before the hole and behind it. Scoring computes each token of each
candidate anew, and what is far from the hole hardly changes the order."""
VARIANTS_MAX = 4
SCORED_TEXTS_MAX = 8
"""Scored texts of one choice that was asked for."""
TEMPERATURE_MIN = 0.8
"""At 0 all candidates would be one: they are sampled at least so warm, from a fixed seed."""
MARK_CHARS = 10
MARK_CHARS_MIN = 3
"""So much of the suffix, found inside a candidate, is taken for its repetition."""


class _Variant(msgspec.Struct, frozen=True):
    prompt: int
    sample: int
    text: str
    finish_reason: FinishReason | None
    text_before: int
    """Code points before the suffix in the scored text."""


class RankedFill:
    """Runs a suffix in two calls: candidates, then their scores; `best` are the request's choices.

    `call` is the plan's call: its prompts are text, its n the candidates of each prompt, its suffix
    the text behind the hole. Results depend on nothing but the calls' answers.
    """

    def __init__(self, call: Call, n: int) -> None:
        assert call.suffix
        assert call.n >= n
        self._call, self._n = call, n
        self._suffix: str = call.suffix
        self._variants: list[_Variant] = []
        self._suffix_tokens = 0

    def first_call(self) -> Call:
        """The candidates: continuations of each prompt that know nothing of the suffix."""
        call = self._call
        warm = max(call.temperature, TEMPERATURE_MIN) if call.n > 1 else call.temperature
        seed = call.seed
        if seed is None and call.temperature == 0:
            seed = 0
        return msgspec.structs.replace(
            call, suffix=None, echo=False, logprobs=None, stream=False, temperature=warm, seed=seed
        )

    def scoring_call(self, deltas: Iterable[Delta]) -> Call:
        """The scores: each variant of each candidate, followed by the suffix's beginning."""
        self._variants = self._chosen(_joined(deltas))
        behind = self._suffix[:SUFFIX_CHARS_MAX]
        call = self._call
        return Call(
            model=call.model,
            prompts=[self._before(v.prompt) + v.text + behind for v in self._variants],
            max_tokens=0,
            temperature=0.0,
            logprobs=0,
            echo=True,
            user=call.user,
            deterministic=call.deterministic,
            parse_special=call.parse_special,
            tenant=call.tenant,
        )

    def best(self, deltas: Iterable[Delta]) -> list[Delta]:
        """The choices: of each prompt the n candidates that make the suffix likeliest.

        Of equals the earlier candidate, and of its variants the one that `variants` names first.
        """
        found: dict[int, list[Logprobs]] = {}
        for delta in deltas:
            if delta.logprobs is not None:
                found.setdefault(delta.index, []).append(delta.logprobs)
        # By prompt and sample: the best variant, with its score and the suffix's tokens.
        best: dict[tuple[int, int], tuple[float, int, _Variant]] = {}
        for index, variant in enumerate(self._variants):
            end = variant.text_before + len(self._suffix[:SUFFIX_CHARS_MAX])
            scored = suffix_score(join(found.get(index, [])), variant.text_before, end)
            place = (variant.prompt, variant.sample)
            if place not in best or scored[0] > best[place][0]:
                best[place] = (*scored, variant)
        self._suffix_tokens = 0
        return [d for prompt in range(len(self._call.prompts)) for d in self._top(prompt, best)]

    def usage(self, candidates: Usage) -> Usage:
        """What the caller used: the candidates' call, and the suffix once. Scoring is free."""
        prompt_tokens = candidates.prompt_tokens + self._suffix_tokens
        return msgspec.structs.replace(candidates, prompt_tokens=prompt_tokens)

    def _top(
        self, prompt: int, best: dict[tuple[int, int], tuple[float, int, _Variant]]
    ) -> list[Delta]:
        mine = [best[place] for place in sorted(best) if place[0] == prompt]
        mine.sort(key=lambda scored: -scored[0])
        self._suffix_tokens += mine[0][1] if mine else 0
        return [
            Delta(prompt * self._n + sample, variant.text, variant.finish_reason)
            for sample, (_, _, variant) in enumerate(mine[: self._n])
        ]

    def _before(self, prompt: int) -> str:
        text = self._call.prompts[prompt]
        assert isinstance(text, str), "only text can be compared with a suffix"
        return text[-PREFIX_CHARS_MAX:]

    def _chosen(self, candidates: dict[int, tuple[str, FinishReason | None]]) -> list[_Variant]:
        """What is scored, prompt by prompt: each candidate's first variants, within the cap."""
        samples = self._call.n
        chosen: list[_Variant] = []
        for prompt in range(len(self._call.prompts)):
            before = len(self._before(prompt))
            rows = [
                [
                    _Variant(
                        prompt, sample, cut, reason if cut == text else "stop", before + len(cut)
                    )
                    for cut in variants(text, self._suffix)
                ]
                for sample in range(samples)
                for text, reason in [candidates.get(prompt * samples + sample, ("", "stop"))]
            ]
            # The first variant of every candidate goes before the second of any.
            mixed = [each for column in zip_longest(*rows) for each in column if each is not None]
            chosen += mixed[: max(SCORED_TEXTS_MAX * self._n, samples)]
        return chosen


def variants(candidate: str, suffix: str) -> list[str]:
    """Where a candidate may end so that the suffix follows: at most VARIANTS_MAX different texts.

    Before the place where it begins to repeat the suffix; not at all; at its first line's end; at
    its last line's end.
    """
    lines = [at for at, letter in enumerate(candidate) if letter == "\n"]
    # A suffix that begins with a line end brings its own.
    ends = lines if suffix.startswith("\n") else [at + 1 for at in lines]
    cuts = [seam(candidate, suffix), len(candidate), *ends[:1], *ends[-1:]]
    return list(dict.fromkeys(candidate[:at] for at in cuts))[:VARIANTS_MAX]


def seam(candidate: str, suffix: str) -> int:
    """Where the candidate begins to repeat the suffix's beginning; its length if it does not."""
    mark = suffix.lstrip()[:MARK_CHARS].rstrip()
    at = candidate.find(mark) if len(mark) >= MARK_CHARS_MIN else -1
    end = len(candidate) if at < 0 else at
    return end - overlap(candidate[:end], suffix)


def overlap(left: str, right: str) -> int:
    """The length of the longest end of `left` that is a beginning of `right`."""
    return next(
        (size for size in range(min(len(left), len(right)), 0, -1) if left.endswith(right[:size])),
        0,
    )


def suffix_score(logprobs: Logprobs, begin: int, end: int) -> tuple[float, int]:
    """How likely the text from `begin` to `end` is, per character; and its tokens.

    Tokens count that begin at or after `begin`: one that reaches over the seam is half the
    candidate's. The mean makes up for the characters that are missed so. No token: impossible.
    """
    scored = [
        (offset, logprob)
        for offset, logprob in zip(logprobs.text_offset, logprobs.token_logprobs, strict=True)
        if logprob is not None and begin <= offset < end
    ]
    if not scored:
        return float("-inf"), 0
    return sum(logprob for _, logprob in scored) / (end - scored[0][0]), len(scored)


def _joined(deltas: Iterable[Delta]) -> dict[int, tuple[str, FinishReason | None]]:
    """Text and finish of each choice of a call."""
    found: dict[int, tuple[str, FinishReason | None]] = {}
    for delta in deltas:
        text, reason = found.get(delta.index, ("", None))
        found[delta.index] = (text + delta.text, delta.finish_reason or reason)
    return found
