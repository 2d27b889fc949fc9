"""A job, the message in a mailbox (schemas/job.json)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip


#: A port that every node has and no progdef declares. Its first record ends the program.
STOP = "stop"

#: The last message on a job's stop subject until the flow is stopped.
RUNNING = b"running"


def valid_name(text: str) -> bool:
    """Report whether text is a valid name of a flow, node, job, progdef, port or executor."""
    return _NAME.fullmatch(text) is not None


def parse_duration(text: str) -> float:
    """Parse a duration in Go's notation, such as 1m30s; return seconds or raise ValueError."""
    seconds, at = 0.0, 0
    for part in _DURATION.finditer(text):
        if part.start() != at:
            break
        seconds += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    if at != len(text) or not text:
        raise ValueError(f"{text!r} is not a duration such as 24h or 1m30s")
    return seconds


@dataclass(frozen=True)
class Party:
    """Who is at an end of a sealed edge (schemas/edge-end.json)."""

    name: str = ""
    job: str = ""


@dataclass(frozen=True)
class Address:
    """One end of an edge (schemas/address.json). ``window`` is in bytes."""

    stream: str
    subject: str
    credit: str
    direct: str
    window: int
    frames: int
    type: str
    #: The number of subjects that store frames; 0 if the planner is older than version 0.2.
    slots: int = 0
    #: Not empty if the edge is sealed; then there is a key.
    salt: str = ""
    key: bytes | None = field(default=None, repr=False)
    writer: Party | None = None
    reader: Party | None = None

    def slot(self, frame: int) -> str:
        """Return the subject that stores a frame."""
        return f"{self.subject}.{frame % self.slots}" if self.slots else self.subject


@dataclass(frozen=True, eq=False)
class Job:
    """One node of one flow, ready to run. Times are in seconds. Every claim has its own Job."""

    flow: str
    job: str
    node: str
    progdef: str
    revision: str
    inputs: Mapping[str, Address]
    outputs: Mapping[str, Address]
    started: str
    done: str
    panic: str
    health: str
    stop: str
    health_interval: float
    health_timeout: float
    traceparent: str | None = None
    tracestate: str | None = None
    #: The stream that stores the stop; None if the planner is older than version 0.2.
    stream: str | None = None
    #: The plain subject of what the job logs, and its lines in a second; "" if nothing is kept.
    log: str = ""
    log_rate: int = 0


def parse_job(data: bytes) -> Job:
    """Return the job in a message's payload; raise ValueError if it is malformed."""
    try:
        document = json.loads(data)
        return _job(document)
    except KeyError as e:
        raise ValueError(f"the job lacks {e}") from e
    except (TypeError, AttributeError) as e:
        raise ValueError(f"the job does not match schemas/job.json: {e}") from e


def _job(document: Mapping[str, Any]) -> Job:
    texts = {
        key: str(document[key])
        for key in (
            "flow", "job", "node", "progdef", "revision", "started", "done", "panic", "health", "stop",
        )
    }  # fmt: skip
    for key in ("flow", "job"):
        if not valid_name(texts[key]):
            raise ValueError(f"the job's {key} {texts[key]!r} is not a name")
    return Job(
        **texts,
        inputs={port: _address(a) for port, a in document["inputs"].items()},
        outputs={port: _address(a) for port, a in document["outputs"].items()},
        health_interval=parse_duration(document["healthInterval"]),
        health_timeout=parse_duration(document["healthTimeout"]),
        traceparent=document.get("traceparent"),
        tracestate=document.get("tracestate"),
        stream=document.get("stream"),
        log=document.get("log", {}).get("subject", ""),
        log_rate=int(document.get("log", {}).get("rate", 0)),
    )


def _address(a: Mapping[str, Any]) -> Address:
    sealed = a.get("sealed")
    limits = a if sealed is None else sealed
    return Address(
        stream=a["stream"],
        subject=a["subject"],
        credit=a["credit"],
        direct=a["direct"],
        window=int(limits["window"]),
        frames=int(limits["frames"]),
        type=a["type"],
        slots=int(a.get("slots", 0)),
        salt=a.get("salt", ""),
        key=None if sealed is None else base64.b64decode(sealed["key"], validate=True),
        writer=_party(a.get("writer")),
        reader=_party(a.get("reader")),
    )


def _party(p: Mapping[str, Any] | None) -> Party | None:
    return None if p is None else Party(name=p.get("name", ""), job=p.get("job", ""))
