"""Taking an executor's name (docs/protocol.md, "Name")."""

from __future__ import annotations

import asyncio
import logging
import secrets

from .errors import BrokerError, NoAnswer
from .link import Link, status

log = logging.getLogger("dagyo")

_STORED = 5.0  # seconds to wait for an answer of JetStream
_PAUSE = 0.25  # seconds between two tries
_WRONG_LAST_SEQUENCE = (10071, 10164)


async def take_name(link: Link, executor: str) -> bool:
    """Take an id permanently; report False if another program has run under it."""
    subject = f"name.{executor}"
    token = secrets.token_hex(16).encode()
    while True:
        try:
            try:
                headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
                await link.ask(subject, token, headers=headers, timeout=_STORED)
                return True
            except BrokerError as e:
                if e.err_code not in _WRONG_LAST_SEQUENCE:
                    raise
            # Stored by another program, or by us: the answer to an earlier try may have been lost.
            return await _holder(link, subject) == token
        except (BrokerError, NoAnswer) as e:
            log.warning("cannot take the name %s: %s; trying again", executor, e)
        await asyncio.sleep(_PAUSE)


async def _holder(link: Link, subject: str) -> bytes:
    """Return the token on a subject. Raises NoAnswer if a replica of the stream is behind."""
    msg = await link.request(link.api(f"DIRECT.GET.LEASES.{subject}"))
    if code := status(msg):
        raise NoAnswer(f"look up {subject}: status {code}")
    return msg.data
