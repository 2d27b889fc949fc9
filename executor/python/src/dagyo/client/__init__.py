"""Run Dagyo's flows from Python, over the HTTP API.

::

    result = await dagyo.run(flow, inputs={"names": ["Ada"]})
    print(result.outputs)

It needs ``pip install 'dagyo[client]'``.
"""

from .blocking import SyncClient, run_sync
from .client import Client, Sink
from .errors import Failure, FlowError, Problem, RecordError, RequestError
from .flow import Flow, In, Node, Out
from .model import Completed, Document, Event, Fed, FlowStatus, LogLine, Submitted, Validation
from .records import Format, Source
from .run import run
from .svg import Picture, picture, svg
from .typenames import AnyBytes, AnyJson, ListOf, ResultOf, Typename, Utf8String

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
    "svg",
]
