"""The body of a request that feeds an input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import AsyncGeneratorType
from typing import cast

from .records import Source, to_body


class Body:
    """What an input is fed from, as a stream that the transport reads in a task of its own."""

    def __init__(self, name: str, typename: str, source: Source) -> None:
        self._from, self.format = to_body(name, typename, source)
        self._chunks = cast("AsyncGeneratorType[bytes, None]", self._guarded())
        self._ended = asyncio.Event()
        #: The error of the source, which the transport only knows as a lost connection.
        self.failure: Exception | None = None

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Return the stream."""
        return self._chunks

    async def close(self) -> None:
        """Close the source, also if nothing has read it to its end."""
        if self._chunks.ag_running:  # the transport's task is being cancelled
            await self._ended.wait()
        await self._chunks.aclose()
        await self._from.aclose()

    async def _guarded(self) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._from) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as e:
            self.failure = e
            raise
        finally:
            self._ended.set()
