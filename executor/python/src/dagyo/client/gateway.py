"""Requests to a gateway over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..errors import UsageError
from .errors import Problem, RequestError, problems_of

if TYPE_CHECKING:
    import aiohttp

#: The pauses before a request is sent again to a gateway that is busy, in seconds.
_RETRIES = (0.25, 0.5, 1.0, 2.0)

#: Seconds of silence after which a stream of events or lines is lost: the gateway writes more often.
SILENCE = 60.0

#: The text of an error page that is quoted.
_QUOTED = 500


def discover(
    url: str | None, token: str | None, credentials: str | bytes | Path | None
) -> tuple[str, str | None]:
    """Return the address of a gateway, and a token for it.

    A token that is found is used only for the address that it was found with.
    """
    if token is None and credentials is not None:
        token = _as_token(credentials)
    if url is not None:
        return _checked(url), token
    found, its_token = _locate()
    return _checked(found), token if token is not None else its_token


def _as_token(credentials: str | bytes | Path) -> str:
    """Return credentials as a bearer token. A string is their content."""
    if isinstance(credentials, Path):
        credentials = credentials.read_bytes()
    content = credentials.encode() if isinstance(credentials, str) else credentials
    if b"-----BEGIN" not in content:
        raise UsageError("these credentials are not those of `dagyo user add`: give a Path of the file")
    return base64.b64encode(content).decode()


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not the address of a gateway: it begins with http:// or https://")
    return url.rstrip("/")


def _locate() -> tuple[str, str | None]:
    """Return what the environment names, or else the `dagyo up` of this user."""
    if url := os.environ.get("DAGYO_HTTP_URL"):
        return url, os.environ.get("DAGYO_HTTP_TOKEN") or None
    state = os.environ.get("XDG_STATE_HOME")
    keys = (Path(state) if state else Path.home() / ".local" / "state") / "dagyo" / "keys"
    try:
        header = (keys / "http.header").read_text()
        url = (keys / "http.url").read_text().strip()
    except OSError as e:
        raise UsageError(
            f"no gateway is known: start `dagyo up`, set DAGYO_HTTP_URL, or give a url ({e})"
        ) from e
    return url, header.removeprefix("Authorization: Bearer ").strip()


def segment(name: str) -> str:
    """Return a name as a segment of a path."""
    if name in ("", ".", ".."):
        raise UsageError(f"{name!r} is not a name")
    return quote(name, safe="")


class Gateway:
    """Sends requests. It belongs to one event loop."""

    def __init__(
        self, url: str, token: str | None, timeout: float, session: aiohttp.ClientSession | None
    ) -> None:
        self.url = url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout = timeout
        self._given = session
        self._session: aiohttp.ClientSession | None = session

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, self._given
        if session is not None and session is not self._given:
            await session.close()

    async def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        document: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request, and return the JSON of the answer; None if it has no content."""
        body = None if document is None else _document(document)
        async with self.answer(
            method, path, query=query, body=body, headers=headers, total=self._timeout
        ) as answer:
            return await self._decoded(answer, method, path)

    async def put(
        self, path: str, body: AsyncGenerator[bytes, None], *, query: Mapping[str, Any]
    ) -> Any:
        """Send a stream once, and return the JSON of the answer, which may come before its end."""
        async with self.answer("PUT", path, query=query, body=body, once=True) as answer:
            try:
                return await self._decoded(answer, "PUT", path)
            finally:
                answer.close()  # do not send the rest of the body

    async def _decoded(self, answer: aiohttp.ClientResponse, method: str, path: str) -> Any:
        content = await answer.read()
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError as e:
            raise RequestError(
                answer.status,
                f"the answer to {method} {self.url}/v1{path} is not JSON:"
                " is this the address of a gateway?",
            ) from e

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | AsyncGenerator[bytes, None] | None = None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
        total: float | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, again if the gateway is busy, and return a good answer.

        It raises a RequestError for any other one, and if the connection is lost, also while the
        caller reads the answer.
        """
        aiohttp = _aiohttp()
        timeout = aiohttp.ClientTimeout(
            total=total, sock_connect=min(self._timeout, 30.0), sock_read=silence
        )
        retries = iter(() if once else _RETRIES)
        while True:
            try:
                async with self._open().request(
                    method,
                    self._address(path, query),
                    headers={**self._headers, **(headers or {})},
                    data=body,
                    timeout=timeout,
                    allow_redirects=False,
                ) as answer:
                    if 200 <= answer.status < 300:
                        yield answer
                        return
                    error = await _refusal(answer)
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as e:
                raise self._lost(e, total) from e
            pause = next(retries, None)
            if error.status not in (429, 503) or pause is None:
                raise error
            await asyncio.sleep(pause)

    def _address(self, path: str, query: Mapping[str, Any] | None) -> Any:
        import yarl

        given = {name: _parameter(v) for name, v in (query or {}).items() if v is not None}
        suffix = f"?{urlencode(given)}" if given else ""
        return yarl.URL(f"{self.url}/v1{path}{suffix}", encoded=True)

    def _open(self) -> aiohttp.ClientSession:
        aiohttp = _aiohttp()
        if self._session is None:
            # Each input and output of a running flow needs a connection, so their number has no limit.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _lost(self, e: Exception, total: float | None) -> RequestError:
        aiohttp = _aiohttp()
        if isinstance(e, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
            return RequestError(
                0,
                f"the gateway at {self.url} does not answer ({e}):"
                " check its address, or start `dagyo up`",
            )
        if isinstance(e, asyncio.TimeoutError):
            after = f" within {total:g} s" if total is not None else ""
            return RequestError(0, f"the gateway at {self.url} has not answered{after}")
        return RequestError(0, f"the connection to the gateway at {self.url} was lost: {_text(e)}")


def _aiohttp() -> Any:
    """Import the transport when it is used: without it, flows can still be built and drawn."""
    try:
        import aiohttp
    except ImportError as e:
        raise UsageError(f"the client needs `pip install 'dagyo[client]'` ({e})") from e
    return aiohttp


def _document(document: Any) -> bytes:
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise UsageError(f"the document is not JSON: {e}") from e


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _text(e: BaseException) -> str:
    return str(e) or type(e).__name__


async def _refusal(answer: aiohttp.ClientResponse) -> RequestError:
    """Return the error in an answer. It may be from something in front of the gateway."""
    content = await answer.read()
    detail = ""
    problems: tuple[Problem, ...] = ()
    try:
        document = json.loads(content)
        detail = document.get("detail") or ""
        problems = problems_of(document)
    except (ValueError, AttributeError, TypeError):
        detail = content[:_QUOTED].decode(errors="replace").strip()
    default = answer.reason or f"status {answer.status}"
    return RequestError(answer.status, detail or default, problems)


async def lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[list[bytes], None]:
    """Yield the lines of an answer, those that have arrived together in one list."""
    begun: list[bytes] = []  # the parts of a line that has not ended
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        begun.append(first)
        if rest:
            whole = [b"".join(begun), *rest[:-1]]
            begun = [rest[-1]]
            yield whole
    if last := b"".join(begun):
        yield [last]


async def server_sent(chunks: AsyncIterable[bytes]) -> AsyncGenerator[tuple[str, Any], None]:
    """Yield the id and the JSON of each event in an answer."""
    last = ""
    data: list[bytes] = []
    async with aclosing(lines(chunks)) as parts:
        async for part in parts:
            for line in part:
                if line.startswith(b"id: "):
                    last = line[4:].decode()
                elif line.startswith(b"data: "):
                    data.append(line[6:])
                elif not line and data:
                    yield last, json.loads(b"\n".join(data))
                    data = []
