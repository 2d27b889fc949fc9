"""Sealed edges: what they carry is encrypted and authenticated (docs/protocol.md, "Sealed edges")."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from nats.aio.msg import Msg

from .errors import DagyoError
from .job import Address, Party

log = logging.getLogger("dagyo")

#: The first byte of every sealed message.
SEALED_VERSION = 2

_NONCE_SIZE = 12
_PREFIX_SIZE = 8
_TAG_SIZE = 16

#: By how many bytes a sealed message is longer than the message.
SEAL_SIZE = 1 + _NONCE_SIZE + _TAG_SIZE

#: Answers a flow's id, a dot and a job's id with the executor that has started the job.
ASK_EXECUTOR = "ask.job.executor"

_ANY = ".by.*"


class Seal:
    """Seals and opens messages with the key of an edge, each for the subject that carries it."""

    def __init__(self, key: bytes) -> None:
        # Only sealed edges need the package.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)
        self._prefix = os.urandom(_PREFIX_SIZE)
        self._count = 0

    def close(self, subject: str, message: bytes) -> bytes:
        """Return a message sealed for a subject. No two messages have the same nonce."""
        self._count += 1
        if self._count >> 32:
            self._prefix, self._count = os.urandom(_PREFIX_SIZE), 1
        nonce = self._prefix + self._count.to_bytes(_NONCE_SIZE - _PREFIX_SIZE, "big")
        return b"\x02" + nonce + self._aead.encrypt(nonce, message, subject.encode())

    def open(self, subject: str, sealed: bytes) -> bytes | None:
        """Return the message; None if it was not sealed with this key for this subject."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) < SEAL_SIZE or sealed[0] != SEALED_VERSION:
            return None
        nonce, box = sealed[1 : 1 + _NONCE_SIZE], sealed[1 + _NONCE_SIZE :]
        try:
            return self._aead.decrypt(nonce, box, subject.encode())
        except InvalidTag:
            return None


class End:
    """One end of an edge.

    What it stores is on subjects that end in its own name, and what the other end stores on
    subjects that end in the other name; on an edge that is not sealed, both suffixes are empty.
    Everybody can store under names of their own, so the name of an executor counts once a message
    has opened that was stored under it, or if the panic-aggregator says so.
    """

    def __init__(self, address: Address, name: str, other: Party | None) -> None:
        if address.salt and address.key is None:
            raise DagyoError(f"edge {address.subject}: the edge is sealed, and the job has no key")
        self.seal = None if address.key is None else Seal(address.key)
        #: The suffix of the subjects on which this end stores, and that of the other end.
        self.own = self.peer = ""
        #: The question who is at the other end; None if that is known, or cannot be asked.
        self.who: bytes | None = None
        #: The number of messages that did not open.
        self.dropped = 0
        if self.seal is None:
            return
        self.own, self.peer = f".by.{name or '-'}", _ANY
        if other is not None and other.name:
            self.peer = f".by.{other.name}"
        elif other is not None and other.job:
            self.who = f"{address.subject.split('.')[2]}.{other.job}".encode()

    @property
    def known(self) -> bool:
        """Whether it is known where the other end stores."""
        return self.peer != _ANY

    def pack(self, subject: str, message: bytes) -> bytes:
        """Return a message as it is published on a subject."""
        return message if self.seal is None or not message else self.seal.close(subject, message)

    def open(self, subject: str, data: bytes) -> bytes | None:
        """Return what was received on a subject; None if it is not from the other end."""
        if self.seal is None:
            return data
        message = self.seal.open(subject, data)
        if message is None:
            self.dropped += 1
        return message

    def open_stored(self, msg: Msg, base: str) -> bytes | None:
        """Do the same for a message of the stream, which also shows where the other end stores."""
        subject = (msg.headers or {}).get("Nats-Subject", "")
        message = self.open(subject, msg.data)
        if message is not None:
            self.met(subject, base)
        return message

    def met(self, subject: str, base: str) -> None:
        """Record where the other end stores."""
        if self.seal is not None and subject.startswith(base):
            self.peer = subject[len(base) :]

    def told(self, answer: bytes) -> bool:
        """Record the answer to the question who is at the other end; report whether it is known."""
        try:
            said: Any = json.loads(answer)
            executor = said["executor"]
        except (ValueError, TypeError, KeyError):
            executor = ""
        if executor and isinstance(executor, str) and not self.known:
            self.peer = f".by.{executor}"
        return self.known

    def say_dropped(self, port: str) -> None:
        """Log how many messages were not from the other end."""
        if self.dropped:
            log.warning(
                "port %s: ignored %d messages on a sealed edge that the other end has not sealed",
                port,
                self.dropped,
            )
