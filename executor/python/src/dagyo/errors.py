"""What can go wrong, as a program sees it."""

from __future__ import annotations

# JetStream's error that the account may store no more, for now.
_ACCOUNT_LIMITS = 10002


class DagyoError(Exception):
    """The base of this package's errors."""


class UsageError(DagyoError):
    """A program or its environment is wrong; nothing was done."""


class ReaderClosed(DagyoError):
    """The reader wants no more. It is no failure: a program that lets it pass ends normally."""


class Gone(DagyoError):
    """The flow's stream was deleted: the flow is over, as after a stop."""


class LinkClosed(DagyoError):
    """The connection to NATS is closed for good."""


class EdgeClosed(DagyoError):
    """This end of the edge was closed by its own program."""


class PortError(DagyoError):
    """A failure at one port: the job panics with it, whatever the program does.

    ``kind`` is ``protocol``, ``deserialization``, or ``error`` for a program that its node's ``stop``
    does not end; ``record`` counts from 0 and is None where the failure is not about one record.
    """

    def __init__(self, kind: str, port: str, record: int | None, message: str) -> None:
        where = f"port {port}" if record is None else f"port {port}, record {record}"
        super().__init__(f"{where}: {message}")
        self.kind = kind
        self.port = port
        self.record = record
        self.message = message


class ProtocolError(DagyoError):
    """A breach of an edge's rules: a gap, a bad frame, wrong totals, a frame that is refused."""


class BrokerError(DagyoError):
    """JetStream refused a request: ``code`` is like HTTP's, ``err_code`` says what it is about."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"the broker refuses: {description} (error {err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description

    @property
    def lasting(self) -> bool:
        """Whether the same request will be refused again, however often it is made."""
        passing = self.code >= 500 or self.code in (408, 429) or self.err_code == _ACCOUNT_LIMITS
        return not passing


class NoAnswer(DagyoError):
    """A request to the broker was not answered: nobody listens, or not in time. Ask again."""
