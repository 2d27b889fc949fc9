"""Dagyo: programs for typed data-flow graphs, in Python.

::

    import dagyo

    @dagyo.progdef
    async def greet(name: dagyo.In[str], greeting: dagyo.Out[str]) -> None:
        async for n in name:
            await greeting.send("hello " + n)

    dagyo.main(greet)
"""

from .config import Config
from .errors import DagyoError, Gone, LinkClosed, PortError, ReaderClosed, UsageError
from .executor import Executor
from .main import main
from .outcome import outcome
from .ports import In, Out, SyncIn, SyncOut
from .progdef import JobInfo, Progdef, progdef
from .signature import Port
from .types import Bytes, Err, Json, Octets, Ok, Outcome, Result, String, Type

__all__ = [
    "Bytes",
    "Config",
    "DagyoError",
    "Err",
    "Executor",
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
    "Result",
    "String",
    "SyncIn",
    "SyncOut",
    "Type",
    "UsageError",
    "main",
    "outcome",
    "progdef",
]
