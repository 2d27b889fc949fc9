"""The errors of clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ..errors import DagyoError

D = TypeVar("D")


def from_json(cls: type[D], document: Mapping[str, Any]) -> D:
    """Return a dataclass with the fields of a JSON object; unknown ones are ignored."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True)
class Problem:
    """What is wrong with a document."""

    #: A stable code, such as ``unknown-progdef``.
    code: str = ""
    #: A JSON pointer into the document.
    pointer: str = ""
    message: str = ""
    #: What to do about it.
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.pointer or '/'}: {self.message} [{self.code}]{hint}"


@dataclass(frozen=True)
class Failure:
    """Why a job, or the flow itself, panicked."""

    #: The node; None if the flow itself panicked, such as at its deadline.
    job: str | None = None
    #: Such as ``error``, ``deserialization`` or ``protocol``.
    kind: str = ""
    message: str = ""
    #: The port at which it happened, and the number of the record from 0, as far as they are known.
    port: str | None = None
    record: int | None = None
    progdef: str | None = None
    executor: str | None = None
    #: A stack trace, or the end of standard error.
    detail: str | None = None

    def __str__(self) -> str:
        where = self.job or "the flow"
        if self.port is not None:
            where += f", port {self.port}"
        if self.record is not None:
            where += f", record {self.record}"
        return f"{where}: {self.message}"


def problems_of(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return the problems in an answer."""
    return tuple(from_json(Problem, p) for p in document.get("problems") or ())


class RequestError(DagyoError):
    """The gateway refused a request, or did not answer.

    ``status`` is the HTTP status, 0 if there was no answer. ``detail`` says what is wrong, and
    ``problems`` what is wrong with a document.
    """

    def __init__(self, status: int, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__("\n  ".join([detail, *map(str, problems)]))
        self.status = status
        self.detail = detail
        self.problems = tuple(problems)


class FlowError(DagyoError):
    """A flow ended without completing.

    ``failures`` says why jobs panicked, ``cause`` is the first of them; ``reason`` why the flow was
    cancelled; ``problems`` why it was rejected. ``status`` is the flow's status at its end.
    """

    def __init__(self, status: Mapping[str, Any], verdict: str) -> None:
        self.status = dict(status)
        self.flow: str = status["flow"]
        self.verdict = verdict
        self.failures = tuple(from_json(Failure, f) for f in status.get("failures") or ())
        self.reason: str | None = status.get("reason")
        self.problems = problems_of(status)
        super().__init__(self._describe())

    @property
    def cause(self) -> Failure | None:
        """The first failure; None if the flow was cancelled or rejected."""
        return self.failures[0] if self.failures else None

    def _describe(self) -> str:
        if self.verdict == "flow.panic":
            return f"flow {self.flow} panicked" + (f": {self.cause}" if self.cause else "")
        if self.verdict == "flow.cancelled":
            return f"flow {self.flow} was cancelled" + (f": {self.reason}" if self.reason else "")
        return "\n  ".join([f"flow {self.flow} was rejected", *map(str, self.problems)])


class RecordError(DagyoError, ValueError):
    """A record does not match the typename of an input or output. ``record`` counts from 0."""

    def __init__(self, end: str, record: int, message: str) -> None:
        super().__init__(f"{end}, record {record}: {message}")
        self.end = end
        self.record = record
        self.message = message
