"""A live picture of a flow in a notebook: it needs ``pip install 'dagyo[notebook]'``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from .client import Client, Sink, document_of, new_id
from .drawing import svg
from .errors import RequestError
from .flow import Flow
from .model import Completed, Document
from .records import Source

try:
    import anywidget
    import traitlets
except ImportError as e:
    raise UsageError(f"live pictures need `pip install 'dagyo[notebook]'` ({e})") from e

# The picture is text that svg has escaped; it is parsed as XML, which has no handlers of its own.
_ESM = """\
export default {
  render({ model, el }) {
    const show = () => {
      const parsed = new DOMParser().parseFromString(model.get("picture"), "image/svg+xml");
      el.replaceChildren(document.importNode(parsed.documentElement, true));
    };
    show();
    model.on("change:picture", show);
  },
};
"""


class Live(anywidget.AnyWidget):
    """A picture of a flow with the states of its jobs, and the records that were read on each edge.

    ::

        live = Live(flow)
        display(live)
        result = await live.run(client, inputs={"names": ["Ada"]})
    """

    _esm = _ESM
    picture = traitlets.Unicode().tag(sync=True)

    def __init__(self, flow: Document | Flow) -> None:
        self._document = document_of(flow)
        super().__init__(picture=svg(self._document))

    def show(self, status: Mapping[str, Any]) -> None:
        """Draw the flow with a status."""
        self.picture = svg(self._document, status)

    async def follow(self, client: Client, flow: str, *, interval: float = 1.0) -> None:
        """Draw a flow again each ``interval`` seconds until it has its verdict."""
        while True:
            status = await client.show(flow)
            self.show(status)
            if "verdict" in status:
                return
            await asyncio.sleep(interval)

    async def run(
        self,
        client: Client,
        *,
        inputs: Mapping[str, Source] | None = None,
        outputs: Mapping[str, Sink] | None = None,
        id: str | None = None,  # noqa: A002
        interval: float = 1.0,
    ) -> Completed:
        """Run the flow as `Client.run` does, and draw it meanwhile."""
        flow = id or new_id()
        following = asyncio.create_task(self._follow(client, flow, interval))
        try:
            return await client.run(self._document, inputs=inputs, outputs=outputs, id=flow)
        finally:
            following.cancel()
            await asyncio.wait({following})
            await self._last(client, flow)

    async def _follow(self, client: Client, flow: str, interval: float) -> None:
        """Follow a flow that may not be stored yet. What fails is not the run's failure."""
        while True:
            try:
                return await self.follow(client, flow, interval=interval)
            except RequestError:
                await asyncio.sleep(interval)

    async def _last(self, client: Client, flow: str) -> None:
        try:
            self.show(await client.show(flow))
        except RequestError:
            return  # it was rejected, or the gateway is gone: the picture stays as it is
