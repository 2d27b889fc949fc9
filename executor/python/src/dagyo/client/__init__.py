"""Run Dagyo's flows from Python, over the HTTP API.

::

    result = await dagyo.run(flow, inputs={"names": ["Ada"]})
    print(result.outputs)

It needs ``pip install 'dagyo[client]'``.
"""

from typing import TYPE_CHECKING, Any

from .blocking import SyncClient, run_sync
from .client import Client, Sink
from .drawing import Picture, picture
from .errors import Failure, FlowError, Problem, RecordError, RequestError
from .flow import Flow, In, Node, Out
from .model import Completed, Document, Event, Fed, FlowStatus, LogLine, Submitted, Validation
from .records import Format, Source
from .running import run
from .typenames import AnyBytes, AnyJson, ListOf, ResultOf, Typename, Utf8String

if TYPE_CHECKING:
    from .widget import Live as Live

# Without Live, so that an import of * does not need anywidget.
__all__ = [
    "AnyBytes",
    "AnyJson",
    "Client",
    "Completed",
    "Document",
    "Event",
    "Failure",
    "Fed",
    "Flow",
    "FlowError",
    "FlowStatus",
    "Format",
    "In",
    "ListOf",
    "LogLine",
    "Node",
    "Out",
    "Picture",
    "Problem",
    "RecordError",
    "RequestError",
    "ResultOf",
    "Sink",
    "Source",
    "Submitted",
    "SyncClient",
    "Typename",
    "Utf8String",
    "Validation",
    "picture",
    "run",
    "run_sync",
]


def __getattr__(name: str) -> Any:
    """Import the widget when it is used: it needs anywidget."""
    if name != "Live":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .widget import Live

    return Live
