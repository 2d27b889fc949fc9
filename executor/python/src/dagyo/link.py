"""A connection to NATS, with the operations that edges, claims and events need."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from .config import Access
from .errors import BrokerError, DagyoError, Gone, LinkClosed, NoAnswer

log = logging.getLogger("dagyo")

#: The smallest supported max_payload, in bytes.
MIN_PAYLOAD = 256 << 10

#: How long, in seconds, to wait for the broker's answer to a request.
ANSWER = 1.0

RECONNECT_WAIT = 0.1
_PENDING_OCTETS = 8 << 20

# How the connection detects that it is dead without being closed: a ping is sent at this interval,
# and when more than this number are unanswered, after 12 to 15 seconds, the connection is replaced.
# A busy machine answers one of the pings in time.
PING_SECONDS = 3
PINGS = 4

# Limits one attempt to connect, in seconds.
_CONNECT_SECONDS = 5

STREAM_NOT_FOUND = 10059
NO_MESSAGE = 10037

#: A credit replaces the previous one.
ROLLUP = {"Nats-Rollup": "sub"}

#: The header with the expected last sequence of a subject, 0 for none.
EXPECTED = "Nats-Expected-Last-Subject-Sequence"

#: Error codes of JetStream for a wrong last sequence.
WRONG_LAST_SEQUENCE = (10071, 10164)


def status(msg: Msg) -> str:
    """Return the status code of a message that carries one instead of a payload, else ""."""
    if msg.data or not msg.headers:
        return ""
    return msg.headers.get("Status", "")


def _options(access: Access) -> dict[str, Any]:
    """Return the options of nats-py for authentication."""
    options: dict[str, Any] = {}
    if access.creds is not None:
        options["user_credentials"] = access.creds
    if access.ca is not None or access.cert is not None:
        context = ssl.create_default_context(cafile=access.ca)
        if access.cert is not None:
            context.load_cert_chain(access.cert, access.key)
        options["tls"] = context
    return options


def _redact(servers: str) -> str:
    """Remove passwords from a list of NATS URLs for display."""
    before, at, after = servers.rpartition("@")
    scheme, found, _ = before.partition("://")
    return f"{scheme}://xxxxx@{after}" if found else f"xxxxx@{after}" if at else servers


#: What the server says before it closes a connection whose credentials are not valid any more.
_OUTDATED = (
    "authentication expired",
    "authentication revoked",
    "authorization violation",
    "maximum subscriptions exceeded",  # its key was retired, so it has no limits any more
    "maximum account active connections exceeded",
)


class _Client(Client):
    """A client that connects again when its credentials have become invalid.

    Their file is replaced in time. nats-py closes the connection for good.
    """

    async def _process_err(self, err_msg: str) -> None:
        if any(text in err_msg.lower() for text in _OUTDATED):
            await self._process_op_err(nats.errors.Error(f"nats: {err_msg}"))
            return
        await super()._process_err(err_msg)


class Link:
    """A connection that reconnects forever.

    Hooks are called on the event loop after every reconnect, and once when the connection is closed
    permanently. ``epoch`` counts the reconnects.
    """

    def __init__(self) -> None:
        self.client = _Client()
        self.epoch = 0
        self._hooks: set[Callable[[], None]] = set()
        self._inbox_prefix = "_INBOX"
        self._lookups: dict[str, asyncio.Task[None]] = {}
        #: Whether the account has no JetStream: a bridge leads to it (ADR 25).
        self._bridged = False
        #: Whether the settings of the connection were wrong.
        self._refused = False

    async def connect(
        self, servers: str, name: str, access: Access | None = None, inbox: str = "_INBOX"
    ) -> None:
        """Connect, waiting for a server. Raise DagyoError if its max_payload is too small, or if the
        files of the access cannot be used.

        Answers arrive on subjects with the prefix ``inbox``.
        """
        self._inbox_prefix = inbox
        self._bridged = access is not None and access.creds is not None
        try:
            await self._begin(servers, name, access or Access(), inbox)
        except Exception as e:
            # It waits for servers, so the settings are wrong.
            self._refused = True
            raise DagyoError(
                f"cannot connect to NATS at {_redact(servers)}: {type(e).__name__}: {e}"
            ) from e
        if self.max_payload < MIN_PAYLOAD:
            await self.close()
            raise DagyoError(
                f"NATS at {_redact(servers)} has max_payload {self.max_payload}; Dagyo needs at least "
                f"{MIN_PAYLOAD}: raise it in the server's configuration"
            )

    async def _begin(self, servers: str, name: str, access: Access, inbox: str) -> None:
        if access.creds is not None:
            # nats-py would try again for ever. Later the file may be replaced at any time.
            await asyncio.to_thread(check_credentials, access.creds)
        await self.client.connect(
            [s.strip() for s in servers.split(",")],
            name=name,
            max_reconnect_attempts=-1,
            # nats-py accepts fractions of seconds.
            reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]
            ping_interval=PING_SECONDS,
            max_outstanding_pings=PINGS,
            connect_timeout=_CONNECT_SECONDS,
            pending_size=_PENDING_OCTETS,
            inbox_prefix=inbox,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            closed_cb=self._on_close,
            **_options(access),
        )

    async def close(self) -> None:
        """Flush, and close the connection permanently."""
        self._hooks.clear()
        if self._refused:
            return  # nats-py cannot close a client that never started to connect
        if self.client.is_connected:
            try:
                await self.client.flush(timeout=2)
            except (nats.errors.Error, OSError, asyncio.TimeoutError) as e:
                log.debug("flush before closing the connection: %s", e)
        await self.client.close()

    @property
    def closed(self) -> bool:
        """Whether the connection is closed permanently."""
        return self.client.is_closed

    @property
    def connected(self) -> bool:
        """Whether the client is connected now."""
        return self.client.is_connected

    @property
    def max_payload(self) -> int:
        """The maximum size of a message on the server, in bytes."""
        return self.client.max_payload

    def add_hook(self, hook: Callable[[], None]) -> None:
        """Call hook after reconnects, and when the connection is closed."""
        self._hooks.add(hook)

    def remove_hook(self, hook: Callable[[], None]) -> None:
        """Forget a hook."""
        self._hooks.discard(hook)

    async def _on_error(self, error: Exception) -> None:
        log.debug("NATS: %r", error)

    async def _on_disconnect(self) -> None:
        if not self.closed:
            log.warning("the connection to NATS was lost; reconnecting")

    async def _on_reconnect(self) -> None:
        log.info("reconnected to NATS")
        self.epoch += 1
        self._ring()

    async def _on_close(self) -> None:
        self._ring()

    def _ring(self) -> None:
        for hook in list(self._hooks):
            hook()

    def api(self, call: str) -> str:
        """Return the subject of a call of the JetStream API.

        Credentials are for an account that has no JetStream: a bridge leads to it.
        """
        return f"api.{call}" if self._bridged else f"$JS.API.{call}"

    def inbox(self) -> str:
        """Return a new prefix of subjects, which ends in a dot. Nobody can guess it.

        The client's own inboxes follow from each other, and the ends of edges see one of them.
        """
        return f"{self._inbox_prefix}.{secrets.token_hex(16)}."

    async def subscribe(
        self, subject: str, handler: Callable[[Msg], None], *, messages: int, octets: int
    ) -> Subscription:
        """Call handler for every message on subject.

        Pending messages beyond the limits are dropped, as the rules of edges allow.
        """

        while True:
            tried: list[Exception] = []  # may still receive messages

            async def handle(msg: Msg, tried: list[Exception] = tried) -> None:
                if not tried:
                    handler(msg)

            try:
                return await self.client.subscribe(
                    subject, cb=handle, pending_msgs_limit=messages, pending_bytes_limit=octets
                )
            except nats.errors.ConnectionClosedError as e:
                raise LinkClosed("the connection to NATS is closed") from e
            except OSError as e:
                tried.append(e)
                log.debug("subscribe to %s: %r; trying again", subject, e)
            await asyncio.sleep(RECONNECT_WAIT)

    async def unsubscribe(self, subscription: Subscription | None) -> None:
        """End a subscription, if there is one, in any state of the connection."""
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
        except (nats.errors.Error, OSError) as e:
            log.debug("unsubscribe from %s: %r", subscription.subject, e)

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish a message. While disconnected, the message waits, or is dropped if too many wait.

        It may also be lost with a connection: a failed write is not a failure of the edge.
        """
        try:
            await self.client.publish(subject, data, reply=reply, headers=headers)
        except (nats.errors.OutboundBufferLimitError, OSError) as e:
            log.debug("dropped a message to %s: %r", subject, e)
        except nats.errors.ConnectionClosedError as e:
            raise LinkClosed("the connection to NATS is closed") from e

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        *,
        timeout: float = ANSWER,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Send a request and return the answer; raise NoAnswer if there is none within timeout
        seconds."""
        try:
            return await self.client.request(subject, data, timeout=timeout, headers=headers)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError) as e:
            raise NoAnswer(f"no answer on {subject} within {timeout} s: {e}") from e
        except (nats.errors.OutboundBufferLimitError, OSError) as e:
            raise NoAnswer(f"cannot send a request on {subject} while disconnected") from e
        except nats.errors.ConnectionClosedError as e:
            raise LinkClosed("the connection to NATS is closed") from e

    async def ask(
        self,
        subject: str,
        question: Mapping[str, object] | bytes = b"",
        *,
        timeout: float = ANSWER,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request to JetStream, or publish to a stream, and return the answer's JSON.

        Raises BrokerError if it is rejected, and NoAnswer after timeout seconds.
        """
        data = question if isinstance(question, bytes) else json.dumps(question).encode()
        msg = await self.request(subject, data, timeout=timeout, headers=headers)
        return answer(msg.data)

    async def check_stream(self, name: str) -> None:
        """Raise Gone if a stream does not exist; return if it exists, or if that is unknown.

        Edges share the lookup: if a broker has lost a stream of edges, all jobs look for it at the
        same time, and nats-server drops all requests if there are too many.
        """
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(name))
            self._lookups[name] = lookup
            lookup.add_done_callback(self._looked_up)
        await asyncio.shield(lookup)

    def _looked_up(self, lookup: asyncio.Task[None]) -> None:
        self._lookups = {name: x for name, x in self._lookups.items() if x is not lookup}
        if not lookup.cancelled():
            lookup.exception()  # nobody may be left who waits for it

    async def _look_up(self, name: str) -> None:
        """Ask for a consumer that no stream has: executors have no right to a stream's description."""
        try:
            await self.ask(self.api(f"CONSUMER.INFO.{name}.none"))
        except BrokerError as e:
            if e.err_code == STREAM_NOT_FOUND:
                raise Gone(f"the stream {name} no longer exists") from e
        except NoAnswer as e:
            log.debug("cannot look up the stream %s: %s", name, e)


def check_credentials(path: str) -> None:
    """Raise an error if a file with credentials cannot be read, or has none."""
    with open(path, "rb") as file:
        content = file.read(1 << 20)
    for part in (b"NATS USER JWT", b"USER NKEY SEED"):
        if b"BEGIN " + part not in content:
            raise ValueError(f"{path} has no {part.decode()}")


def answer(data: bytes) -> dict[str, Any]:
    """Return JetStream's answer in data; raise BrokerError if it is an error."""
    try:
        decoded = json.loads(data)
    except ValueError as e:
        raise BrokerError(500, 0, f"an answer that is not JSON: {e}") from e
    if not isinstance(decoded, dict):
        raise BrokerError(500, 0, "an answer that is not an object")
    error = decoded.get("error")
    if isinstance(error, dict):
        raise BrokerError(
            int(error.get("code", 500)),
            int(error.get("err_code", 0)),
            str(error.get("description", "no reason is given")),
        )
    return decoded
