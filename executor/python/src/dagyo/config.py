"""The environment that a spawner passes to an executor (docs/protocol.md, "Environment")."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import UsageError
from .job import parse_duration, valid_name
from .mask import secrets_in


@dataclass(frozen=True)
class Access:
    """The files for authentication with NATS: credentials, authorities, our certificate, its key."""

    creds: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Config:
    """The configuration of an executor. ``grace`` and ``stop_grace`` are in seconds."""

    queue: str
    progdef: str
    revision: str
    executor: str
    slots: int = 1
    grace: float = 24 * 3600.0
    access: Access = Access()
    #: How long a stopped job may take to end before its executor drains.
    stop_grace: float = 10.0
    #: Whether a spawner assigned the id: then only one program may ever run under it.
    spawned: bool = False
    #: Values that are masked in what jobs log, and in the failures that they report.
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def consumer(self) -> str:
        """The consumer of the mailbox."""
        return f"{self.progdef}-{self.revision}"

    @property
    def inbox(self) -> str:
        """The prefix of the subjects on which answers arrive: credentials are for no other."""
        return "_INBOX" if self.access.creds is None else f"_INBOX.executor.{self.executor}"


def from_environment(environ: Mapping[str, str]) -> Config:
    """Read DAGYO_*; raise UsageError with all errors, one per line."""
    wrong: list[str] = []
    queue = environ.get("DAGYO_QUEUE", "")
    if not queue:
        wrong.append("DAGYO_QUEUE is not set: set it to the URL of the NATS server")
    mailbox = environ.get("DAGYO_JOBS", "")
    progdef, _, revision = mailbox.partition(".")
    if not valid_name(progdef) or not valid_name(revision):
        wrong.append(f"DAGYO_JOBS is {mailbox!r}: it must be <progdef>.<revision>")
    given = environ.get("DAGYO_EXECUTOR", "")
    executor = given or f"py-{secrets.token_hex(8)}"
    if not valid_name(executor):
        wrong.append(
            f"DAGYO_EXECUTOR is {executor!r}: it must consist of 1 to 63 of a-z, 0-9, - and _, "
            "with a letter or a digit at both ends"
        )
    slots = _slots(environ.get("DAGYO_SLOTS", "") or "1", wrong)
    grace = _grace(environ.get("DAGYO_GRACE", "") or "24h", wrong)
    access = Access(
        creds=environ.get("DAGYO_CREDS") or None,
        ca=environ.get("DAGYO_TLS_CA") or None,
        cert=environ.get("DAGYO_TLS_CERT") or None,
        key=environ.get("DAGYO_TLS_KEY") or None,
    )
    if (access.cert is None) != (access.key is None):
        wrong.append("set both DAGYO_TLS_CERT and DAGYO_TLS_KEY, or neither")
    if wrong:
        raise UsageError("\n".join(wrong))
    return Config(
        queue, progdef, revision, executor, slots, grace, access,
        spawned=given != "", secrets=secrets_in(environ),
    )  # fmt: skip


def _slots(text: str, wrong: list[str]) -> int:
    try:
        slots = int(text)
    except ValueError:
        slots = 0
    if slots < 1:
        wrong.append(f"DAGYO_SLOTS is {text!r}: it must be a number of at least 1")
    return slots


def _grace(text: str, wrong: list[str]) -> float:
    try:
        return parse_duration(text)
    except ValueError as e:
        wrong.append(f"DAGYO_GRACE: {e}")
        return 0.0
