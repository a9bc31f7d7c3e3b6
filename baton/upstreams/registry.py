"""Dialects by name. A dialect is a file with an adapter and one line here, or an entry point.

An installed package adds one without touching Baton: an entry point of the group `baton.upstreams`
whose name is the dialect's and whose value is a `Dialect`.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from baton.semantics.events import Way
from baton.semantics.fim import TEMPLATES
from baton.semantics.overrides import NONE, Overrides
from baton.semantics.overrides import check as check_overrides
from baton.upstreams.anthropic import AnthropicAdapter
from baton.upstreams.anthropic import key_headers as anthropic_key
from baton.upstreams.azure import AzureAdapter, api_key
from baton.upstreams.base import Adapter, Capabilities
from baton.upstreams.baton import BatonAdapter
from baton.upstreams.deepseek import DeepseekAdapter
from baton.upstreams.endpoint import Endpoint, TransportLimits, parse
from baton.upstreams.fireworks import FireworksAdapter
from baton.upstreams.gemini import GeminiAdapter
from baton.upstreams.gemini import key_headers as google_key
from baton.upstreams.headers import check_headers
from baton.upstreams.http import HttpUpstream
from baton.upstreams.llama_server import LlamaServerAdapter
from baton.upstreams.mistral import MistralAdapter
from baton.upstreams.ollama import OllamaAdapter
from baton.upstreams.openai import OpenAIAdapter
from baton.upstreams.openai_chat import OpenAIChatAdapter
from baton.upstreams.overriding import OverridingAdapter
from baton.upstreams.proxy import ProxyDialer, parse_proxy
from baton.upstreams.rotation import RotatingTransport
from baton.upstreams.sglang import SglangAdapter
from baton.upstreams.together import TogetherAdapter
from baton.upstreams.transport import Transport
from baton.upstreams.vllm import VllmAdapter

ENTRY_POINTS = "baton.upstreams"
Headers = tuple[tuple[str, str], ...]


def bearer(key: str) -> Headers:
    """How most servers take a key."""
    return (("Authorization", f"Bearer {key}"),)


class Dialect(msgspec.Struct, frozen=True):
    """How to talk to one kind of server."""

    adapter: Callable[..., Adapter]
    """Makes its adapter; of a dialect that chats from each model's way (`continuation.Way`)."""
    prefix: str = "/v1"
    """Path of a base URL that has none."""
    authorize: Callable[[str], Headers] = bearer
    """A key as the headers that carry it."""
    ways: tuple[Way, ...] = ()
    """How its models can be had to continue a text; none: it takes prompts as they are."""
    beside: str = ""
    """Where its completions are when the base URL ends in /v1, where its other routes are."""
    several_roots: bool = False
    """Its routes begin at different places: a base URL that ends in /v1 means the one above."""


BUILT_IN: Mapping[str, Dialect] = MappingProxyType(
    {
        "openai": Dialect(OpenAIAdapter),
        "vllm": Dialect(VllmAdapter),
        "sglang": Dialect(SglangAdapter),
        "llama-server": Dialect(LlamaServerAdapter, prefix="", several_roots=True),
        "ollama": Dialect(OllamaAdapter, prefix="", several_roots=True),
        "baton": Dialect(BatonAdapter),
        "deepseek": Dialect(DeepseekAdapter, prefix="/beta", beside="/beta"),
        "mistral": Dialect(MistralAdapter),
        "openai-chat": Dialect(
            OpenAIChatAdapter, ways=("instruct", "prefill", "prefix", "partial")
        ),
        "anthropic": Dialect(
            AnthropicAdapter, authorize=anthropic_key, ways=("instruct", "prefill")
        ),
        "gemini": Dialect(
            GeminiAdapter, prefix="/v1beta", authorize=google_key, ways=("instruct", "prefill")
        ),
        "azure": Dialect(AzureAdapter, prefix="/openai/v1", authorize=api_key),
        "together": Dialect(TogetherAdapter),
        "fireworks": Dialect(FireworksAdapter, prefix="/inference/v1"),
    }
)


class Record(Protocol):
    """What is stored of an upstream, as far as a connection to it needs it."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def dialect(self) -> str: ...
    @property
    def secret(self) -> str | None: ...
    @property
    def allow_private(self) -> bool: ...
    @property
    def continuation(self) -> Mapping[str, Way]: ...
    @property
    def more_secrets(self) -> tuple[str, ...]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def proxy(self) -> str | None: ...
    @property
    def overrides(self) -> Overrides: ...
    @property
    def fim(self) -> Mapping[str, str]: ...


def names() -> list[str]:
    """Every dialect that an upstream may have."""
    return sorted({*BUILT_IN, *(point.name for point in _entry_points())})


def capabilities() -> dict[str, Capabilities]:
    """What each dialect does natively."""
    return {name: dialect(name).adapter().capabilities for name in names()}


def dialect(name: str) -> Dialect:
    """ValueError names the known ones where it is none of them."""
    known = BUILT_IN.get(name)
    if known is not None:
        return known
    for point in _entry_points(name=name):
        loaded = point.load()
        if isinstance(loaded, Dialect):
            return loaded
    raise ValueError(f"there is no dialect '{name}': known are {', '.join(names())}")


def _entry_points(**which: str) -> Iterable[Any]:
    """What installed packages add; it looks at all of them, and few starts need it."""
    metadata = importlib.import_module("importlib.metadata")
    found: Iterable[Any] = metadata.entry_points(group=ENTRY_POINTS, **which)
    return found


def check_continuation(name: str, ways: Mapping[str, str]) -> None:
    """ValueError where models of this dialect cannot be had to continue a text in these ways."""
    known = dialect(name).ways
    for model, way in ways.items():
        if way not in known:
            remedy = f"known are {', '.join(known)}" if known else "it takes prompts as they are"
            raise ValueError(f"continuation of {model}: no '{way}' with dialect '{name}': {remedy}")


def build(
    record: Record, limits: TransportLimits, made: Callable[..., HttpUpstream] = HttpUpstream
) -> HttpUpstream:
    """The upstream of a record; to be called inside the event loop that will use it. `made` makes
    it of name, adapter, transport and secrets.

    ValueError says what is wrong with its URL or dialect. Nothing is connected to yet.
    """
    kind = dialect(record.dialect)
    endpoint = parse(
        record.url,
        default_prefix=kind.prefix,
        allow_private=record.allow_private,
        limits=limits,
    )
    if kind.several_roots:
        prefix = endpoint.prefix.removesuffix("/v1")
        endpoint = msgspec.structs.replace(endpoint, prefix=prefix)
    if kind.beside and endpoint.prefix.endswith("/v1"):
        prefix = endpoint.prefix.removesuffix("/v1") + kind.beside
        endpoint = msgspec.structs.replace(endpoint, prefix=prefix)
    check_continuation(record.dialect, record.continuation)
    check_options(record)
    adapter = kind.adapter(record.continuation) if kind.ways else kind.adapter()
    if record.overrides != NONE:
        adapter = OverridingAdapter(adapter, record.overrides)
    keys = _keys(record)
    secrets = (*keys, *record.headers.values())
    return made(record.name, adapter, _transport(record, kind, endpoint), secrets)


def check_options(record: Record) -> None:
    """ValueError says which of a record's options cannot be used."""
    check_overrides(record.overrides)
    check_templates(record.fim)
    check_headers(record.headers)
    if record.proxy is not None:
        parse_proxy(record.proxy)


def check_templates(templates: Mapping[str, str]) -> None:
    """ValueError where one is none that Baton has."""
    for model, name in templates.items():
        if name not in TEMPLATES:
            raise ValueError(f"fim of {model}: no template '{name}': known are {_templates()}")


def _templates() -> str:
    return ", ".join(sorted(TEMPLATES))


def _keys(record: Record) -> tuple[str, ...]:
    return tuple(key for key in (record.secret, *record.more_secrets) if key)


def _transport(record: Record, kind: Dialect, endpoint: Endpoint) -> Transport:
    """Straight or through a proxy; with one key, or with several in turn."""
    dialer = None if record.proxy is None else ProxyDialer(endpoint, parse_proxy(record.proxy))
    headers = tuple(record.headers.items())
    keys = [kind.authorize(key) for key in _keys(record)]
    if len(keys) > 1:
        return RotatingTransport(endpoint, headers, dialer, keys)
    return Transport(endpoint, (*(keys[0] if keys else ()), *headers), dialer)
