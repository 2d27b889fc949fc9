"""The documents that the gateway reads and answers with. The schemas in the repository define them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from .errors import Problem

#: A flow document: a JSON object.
Document = dict[str, Any]

#: The type of the event that ends a flow.
Verdict = Literal["flow.completed", "flow.panic", "flow.cancelled", "flow.rejected"]

VERDICTS: frozenset[str] = frozenset(
    ("flow.completed", "flow.panic", "flow.cancelled", "flow.rejected")
)


class Count(TypedDict, total=False):
    """Records, and the sum of their lengths."""

    records: int
    bytes: int


class JobStatus(TypedDict, total=False):
    """The status of a job."""

    progdef: str
    revision: str
    state: Literal["waiting", "running", "done", "stopped", "panicked"]
    executor: str
    inputs: dict[str, Count]
    outputs: dict[str, Count]


#: An edge of a running flow.
EdgeStatus = TypedDict(
    "EdgeStatus",
    {
        "from": str,
        "to": str,
        "sent": Count,
        "received": Count,
        "closedEarly": bool,
        "unread": int,
        "fill": int,
        "waits": Literal["reader", "writer"],
    },
    total=False,
)


class FlowStatus(TypedDict, total=False):
    """The status of a flow."""

    flow: str
    phase: str
    verdict: Verdict
    document: str
    owner: str
    submitted: str
    updated: str
    deadline: str
    duration: str
    jobs: dict[str, JobStatus]
    #: Absent until the flow is planned.
    stream: str
    inputs: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]
    edges: list[EdgeStatus]
    #: The ends of a running flow that wait for a client.
    waits: list[dict[str, Any]]
    #: Set while the flow waits for capacity.
    queued: dict[str, Any]
    #: Set while no record moves although jobs run.
    stalled: dict[str, Any]
    problems: list[dict[str, str]]
    failures: list[dict[str, Any]]
    cancelledBy: str
    reason: str


class FlowLine(TypedDict, total=False):
    """A flow in a list."""

    flow: str
    phase: str
    verdict: Verdict
    owner: str
    submitted: str
    updated: str
    duration: str
    jobs: dict[str, int]
    records: int
    place: int
    message: str


class Published(TypedDict, total=False):
    """A progdef in the catalogue."""

    revision: str
    document: Document
    by: str
    at: str


class TypeLine(TypedDict, total=False):
    """A documented type in a list."""

    name: str
    typename: str
    summary: str
    builtin: bool


class Capacity(TypedDict, total=False):
    """The executors and slots of a revision of a progdef."""

    progdef: str
    revision: str
    current: bool
    executors: int
    draining: int
    running: int
    waiting: int
    failed: int
    reason: str
    retry: str


class WebhookAttempt(TypedDict, total=False):
    """An attempt to deliver an event; its number is from 1."""

    flow: str
    event: str
    at: str
    attempt: int
    status: int
    error: str


class WebhookStatus(TypedDict, total=False):
    """A webhook, and what became of its deliveries: events, and in ``failed`` attempts."""

    document: Document
    keys: list[dict[str, str]]
    by: str
    at: str
    disabled: str
    delivered: int
    failed: int
    givenUp: int
    pending: int
    lastDelivery: WebhookAttempt
    lastFailure: WebhookAttempt


class WebhookTested(TypedDict, total=False):
    """How the receiver of a webhook answered a test; without ``status`` it did not."""

    name: str
    delivered: bool
    status: int
    error: str
    took: str
    by: str


class Session(TypedDict, total=False):
    """The user of credentials."""

    user: str
    role: str
    expires: str
    own: bool
    signedIn: bool
    token: str


@dataclass(frozen=True)
class Event:
    """An event of a flow."""

    #: Such as ``job.started`` or ``flow.completed``.
    type: str
    subject: str
    time: str
    #: The number of the event in EVENTS.
    seq: int
    source: str | None = None
    by: str | None = None
    data: Any = None

    @property
    def ends_flow(self) -> bool:
        """Whether it is the flow's verdict."""
        return self.type in VERDICTS


@dataclass(frozen=True)
class LogLine:
    """A line that a job has logged, or the number of lines that are missing at its place."""

    time: str
    job: str
    #: ``stderr`` or ``log``.
    stream: str | None = None
    level: str | None = None
    text: str | None = None
    dropped: int | None = None


@dataclass(frozen=True)
class Submitted:
    """A submitted flow."""

    flow: str
    #: ``submitted`` if no service has validated it yet.
    state: Literal["submitted", "validated"]
    #: The inputs to feed, and the outputs to read.
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fed:
    """What an input was fed with."""

    records: int
    bytes: int


@dataclass(frozen=True)
class Validation:
    """The result of a validation. It is true if the document is valid."""

    problems: tuple[Problem, ...] = ()
    #: The normal form of a valid flow, with all types.
    flow: Document | None = None

    def __bool__(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Completed:
    """The result of a completed flow."""

    #: The flow's id.
    flow: str
    #: By output: a list of its records, or the result of its sink.
    outputs: dict[str, Any]
    verdict: Literal["flow.completed"] = "flow.completed"
