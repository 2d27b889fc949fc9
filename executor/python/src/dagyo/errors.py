"""The errors that a program may receive."""

from __future__ import annotations

# JetStream's error that the account may not store more for now.
_ACCOUNT_LIMITS = 10002


class DagyoError(Exception):
    """The base class of this package's errors."""


class UsageError(DagyoError):
    """The program or its environment is invalid; nothing was done."""


class ReaderClosed(DagyoError):
    """The reader needs no more records. A program that does not catch it ends normally."""


class Gone(DagyoError):
    """The flow's stream was deleted, so the flow is over, as after a stop."""


class LinkClosed(DagyoError):
    """The connection to NATS is closed permanently."""


class EdgeClosed(DagyoError):
    """The program has closed this end of the edge."""


class PortError(DagyoError):
    """A failure at one port. The job panics with it, whatever the program does.

    ``kind`` is ``protocol``, ``deserialization``, or ``error`` for a program that does not end
    after its node's ``stop``. ``record`` counts from 0; it is None if the failure is not about one
    record.
    """

    def __init__(self, kind: str, port: str, record: int | None, message: str) -> None:
        where = f"port {port}" if record is None else f"port {port}, record {record}"
        super().__init__(f"{where}: {message}")
        self.kind = kind
        self.port = port
        self.record = record
        self.message = message


class ProtocolError(DagyoError):
    """A violation of an edge's rules: a gap, a malformed frame, wrong totals, a rejected frame."""


class BrokerError(DagyoError):
    """JetStream rejected a request: ``code`` is like HTTP's, ``err_code`` identifies the reason."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"the broker rejected the request: {description} (error {err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description

    @property
    def lasting(self) -> bool:
        """Whether every retry of the request will be rejected, too."""
        passing = self.code >= 500 or self.code in (408, 429) or self.err_code == _ACCOUNT_LIMITS
        return not passing


class NoAnswer(DagyoError):
    """A request to the broker was not answered, or not in time. It may be retried."""
