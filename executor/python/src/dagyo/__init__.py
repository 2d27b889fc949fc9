"""Dagyo: programs for typed data-flow graphs, in Python.

::

    import dagyo

    @dagyo.progdef
    async def greet(name: dagyo.In[str], greeting: dagyo.Out[str]) -> None:
        async for n in name:
            await greeting.send("hello " + n)

    dagyo.main(greet)

And a client that runs flows, `dagyo.client`: ``await dagyo.run(flow, inputs=...)``.
"""

from typing import TYPE_CHECKING, Any

from .config import Config
from .errors import DagyoError, Gone, LinkClosed, PortError, ReaderClosed, UsageError
from .executor import Executor
from .main import main
from .outcome import outcome
from .ports import In, Out, SyncIn, SyncOut
from .progdef import JobInfo, Progdef, progdef
from .signature import Port
from .types import Bytes, Err, Json, Octets, Ok, Outcome, Result, String, Type

if TYPE_CHECKING:
    from .client import (
        Client,
        Flow,
        FlowError,
        RecordError,
        RequestError,
        SyncClient,
        picture,
        run,
        run_sync,
    )
    from .client import Live as Live

# Without Live, so that an import of * does not need anywidget.
__all__ = [
    "Bytes",
    "Client",
    "Config",
    "DagyoError",
    "Err",
    "Executor",
    "Flow",
    "FlowError",
    "Gone",
    "In",
    "JobInfo",
    "Json",
    "LinkClosed",
    "Octets",
    "Ok",
    "Out",
    "Outcome",
    "Port",
    "PortError",
    "Progdef",
    "ReaderClosed",
    "RecordError",
    "RequestError",
    "Result",
    "String",
    "SyncClient",
    "SyncIn",
    "SyncOut",
    "Type",
    "UsageError",
    "main",
    "outcome",
    "picture",
    "progdef",
    "run",
    "run_sync",
]


def __getattr__(name: str) -> Any:
    """Import the client when one of its names is used: executors do not need it."""
    if name not in __all__ and name != "Live":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    return getattr(client, name)
