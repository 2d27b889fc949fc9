"""A progdef as a Python function."""

from __future__ import annotations

import asyncio
import inspect
import keyword
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, overload

from .errors import UsageError
from .job import STOP, Address, Job, valid_name
from .local import Values, call
from .ports import Bridge, In, Out, SyncIn, SyncOut
from .signature import Declared, check, ports_of, type_of
from .thread import in_thread
from .types import Type, as_type, matches, parse_typename, variables

Function = Callable[..., Awaitable[None] | None]
#: The declaration of a port: a type, or a typename whose records are raw bytes.
Ports = Mapping[str, "Type[Any] | str"]

#: The name of the parameter that receives a JobInfo, if the function has one.
JOB = "job"


@dataclass(frozen=True)
class JobInfo:
    """The job for which a function runs."""

    flow: str
    node: str
    job: str
    executor: str
    #: The W3C trace context of the job, None if its flow has none.
    traceparent: str | None
    tracestate: str | None = None

    @property
    def trace(self) -> dict[str, str]:
        """The trace context as headers, so that spans of the program belong to the trace of the flow.

        With OpenTelemetry: ``ctx = opentelemetry.propagate.extract(job.trace)``.
        """
        headers = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: value for name, value in headers.items() if value}


@dataclass(frozen=True)
class Progdef:
    """A program: its ports, and the function that serves one job. Created by ``progdef``.

    For unit tests, ``await greet.call(name=["Ada"])`` calls it without a broker, and
    ``greet.run(name=["Ada"])`` does the same outside of an event loop.
    """

    name: str
    description: str
    inputs: Mapping[str, Type[Any]]
    outputs: Mapping[str, Type[Any]]
    function: Function
    #: The function's parameter for each input and output, and whether it receives the JobInfo.
    input_parameters: Mapping[str, str]
    output_parameters: Mapping[str, str]
    wants_job: bool
    #: Whether the function is written without ``async`` and runs in its own thread.
    blocking: bool = False

    async def call(self, *, job: JobInfo | None = None, **inputs: Values) -> dict[str, list[Any]]:
        """Call the function with values for its inputs; return the values of its outputs, by port.

        Inputs have the names of the function's parameters. All values pass through the types of
        their ports, as on an edge. Exceptions of the function are raised.
        """
        if set(inputs) != set(self.input_parameters.values()):
            needed = ", ".join(self.input_parameters.values()) or "none"
            raise TypeError(f"{self.name} has the inputs {needed}, not {', '.join(inputs) or 'none'}")
        return await call(self, inputs, job or JobInfo("test", self.name, self.name, "test", None))

    def run(self, *, job: JobInfo | None = None, **inputs: Values) -> dict[str, list[Any]]:
        """Do the same as ``call`` in a new event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.call(job=job, **inputs))
        raise RuntimeError(f"{self.name}.run: an event loop is running: use await {self.name}.call")

    async def invoke(
        self, inputs: Mapping[str, In[Any]], outputs: Mapping[str, Out[Any]], job: JobInfo
    ) -> None:
        """Call the function with its ports, in its own thread if it is not async."""
        arguments: dict[str, Any] = {p: inputs[port] for port, p in self.input_parameters.items()}
        arguments |= {p: outputs[port] for port, p in self.output_parameters.items()}
        bridge = Bridge()
        if self.blocking:
            for parameter, port in arguments.items():
                arguments[parameter] = (SyncIn if isinstance(port, In) else SyncOut)(port, bridge)
        if self.wants_job:
            arguments[JOB] = job
        if self.blocking:
            return await in_thread(self.function, arguments, bridge)
        returned = self.function(**arguments)
        if returned is not None:
            await returned

    def check(self, job: Job) -> None:
        """Raise UsageError if a job differs from the program's declarations.

        In that case the progdef and the program have diverged.
        """
        bound: dict[str, Any] = {}
        inputs = {port: a for port, a in job.inputs.items() if port != STOP}  # the executor's own
        wrong = [
            *_compare("input", self.inputs, inputs, bound),
            *_compare("output", self.outputs, job.outputs, bound),
        ]
        if wrong:
            raise UsageError(
                f"progdef {job.progdef} does not match its program {self.name}: {'; '.join(wrong)}"
            )

    def document(self, command: list[str], code: str = "") -> dict[str, Any]:
        """Return the progdef's document (schemas/progdef.json), to be completed and applied.

        ``code`` is the digest of the program's code, which becomes a part of the revision.
        """
        document: dict[str, Any] = {"name": self.name, "description": self.description}
        types = [*self.inputs.values(), *self.outputs.values()]
        params = sorted(set().union(*(variables(parse_typename(t.name)) for t in types)))
        if params:
            document["typeParams"] = params
        document["inputs"] = {port: t.name for port, t in self.inputs.items()}
        document["outputs"] = {port: t.name for port, t in self.outputs.items()}
        document["command"] = command
        if code:
            document["code"] = code
        return document


def _compare(
    kind: str, declared: Mapping[str, Type[Any]], given: Mapping[str, Address], bound: dict[str, Any]
) -> list[str]:
    """Return descriptions of everything that is wrong with the ports of a job."""
    wrong = []
    for port, type_ in declared.items():
        if port not in given:
            wrong.append(f"the progdef has no {kind} {port}, which the program declares")
            continue
        actual, expected = given[port].type, parse_typename(type_.name)
        before = {str(v): str(bound[v]) for v in variables(expected) if v in bound}
        if not matches(expected, parse_typename(actual), bound):
            where = "".join(f", where {v} is {t} on another port" for v, t in before.items())
            wrong.append(f"{kind} {port} carries {actual}, the program expects {type_.name}{where}")
    for port in given:
        if port not in declared:
            wrong.append(f"the progdef has {kind} {port}, which the program does not declare")
    return wrong


@overload
def progdef(function: Function, /) -> Progdef: ...


@overload
def progdef(
    *, inputs: Ports | None = None, outputs: Ports | None = None, name: str | None = None
) -> Callable[[Function], Progdef]: ...


def progdef(
    function: Function | None = None,
    /,
    *,
    inputs: Ports | None = None,
    outputs: Ports | None = None,
    name: str | None = None,
) -> Progdef | Callable[[Function], Progdef]:
    """Turn a function into a progdef.

    Its ports are the parameters that are annotated with In and Out, or, in a function without
    ``async``, with SyncIn and SyncOut. A port has the parameter's name (``in_`` stands for ``in``).
    Its typename follows from its values: str, bytes, Any (json), Outcome[X], or Annotated[X, TYPE]
    with a Type or a typename. A parameter ``job`` receives a JobInfo.

    Ports may also be declared by ``inputs`` and ``outputs``. The parameter then has the port's
    name: with _ for -, with _ appended if it is a keyword of Python (``in_``), and with _in or _out
    appended if an input and an output have the same name. Raises UsageError if ports, parameters
    and annotations do not match.
    """

    def decorate(function: Function) -> Progdef:
        called = name or function.__name__.strip("_")
        if not valid_name(called):
            raise UsageError(f"progdef {called}: this is not a name; set another one with name=")
        if inputs is None and outputs is None:
            return _by_annotations(called, function)
        return _by_names(called, function, inputs or {}, outputs or {})

    return decorate if function is None else decorate(function)


def _by_annotations(called: str, function: Function) -> Progdef:
    """Return a progdef whose ports are annotated parameters."""
    ports = ports_of(called, function, strict=True)
    ins = {p.port: type_of(called, p) for p in ports if p.input}
    outs = {p.port: type_of(called, p) for p in ports if not p.input}
    in_names = {p.port: p.parameter for p in ports if p.input}
    out_names = {p.port: p.parameter for p in ports if not p.input}
    if len(in_names) + len(out_names) < len(ports):
        raise UsageError(f"progdef {called}: two inputs or two outputs have the same name")
    return _progdef(called, function, ins, outs, in_names, out_names, ports)


def _by_names(called: str, function: Function, inputs: Ports, outputs: Ports) -> Progdef:
    """Return a progdef with declared ports, and check the function's parameters against them."""
    ins, outs = _types(called, inputs), _types(called, outputs)
    both = set(ins) & set(outs)
    in_names = {port: _parameter(port, "_in" if port in both else "") for port in ins}
    out_names = {port: _parameter(port, "_out" if port in both else "") for port in outs}
    annotated = ports_of(called, function, strict=False)
    for names, types_, input_ in ((in_names, ins, True), (out_names, outs, False)):
        for port, parameter in names.items():
            _check_annotation(called, annotated, port, parameter, types_[port], input_)
    return _progdef(called, function, ins, outs, in_names, out_names, annotated)


def _check_annotation(
    called: str, annotated: list[Declared], port: str, parameter: str, type_: Type[Any], input_: bool
) -> None:
    for a in annotated:
        if a.parameter != parameter:
            continue
        if a.input != input_:
            raise UsageError(
                f"progdef {called}: {port} is an {'input' if input_ else 'output'}; its parameter is "
                f"annotated as an {'input' if a.input else 'output'}"
            )
        check(called, a, type_)


def _progdef(
    called: str,
    function: Function,
    ins: dict[str, Type[Any]],
    outs: dict[str, Type[Any]],
    in_names: dict[str, str],
    out_names: dict[str, str],
    annotated: list[Declared],
) -> Progdef:
    for port in [*ins, *outs]:
        if not valid_name(port):
            raise UsageError(f"progdef {called}: port {port!r} is not a name")
    if STOP in ins or "panic" in outs:
        raise UsageError(f"progdef {called}: every node has an input stop and an output panic")
    blocking = _is_blocking(called, function, annotated)
    wants_job = _check_parameters(called, function, [*in_names.values(), *out_names.values()])
    description = inspect.getdoc(function) or ""
    return Progdef(called, description, ins, outs, function, in_names, out_names, wants_job, blocking)


def _is_blocking(called: str, function: Function, annotated: list[Declared]) -> bool:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(f"progdef {called}: the function must not yield; it sends to its outputs")
    blocking = not inspect.iscoroutinefunction(function)
    for port in annotated:
        if port.blocking != blocking:
            need = "SyncIn and SyncOut" if blocking else "In and Out"
            raise UsageError(
                f"progdef {called}: {port.parameter}: the ports of a function written with "
                f"{'def' if blocking else 'async def'} must have the types {need}"
            )
    return blocking


def _types(called: str, ports: Ports) -> dict[str, Type[Any]]:
    types = {}
    for port, declared in ports.items():
        try:
            types[port] = as_type(declared)
        except ValueError as e:
            raise UsageError(f"progdef {called}: port {port}: {e}") from e
    return types


def _parameter(port: str, suffix: str) -> str:
    parameter = re.sub(r"^(?=[0-9])", "_", port.replace("-", "_")) + suffix
    return parameter + "_" if keyword.iskeyword(parameter) else parameter


def _check_parameters(called: str, function: Function, needed: list[str]) -> bool:
    """Compare a function's parameters with its ports; report whether it also takes the job."""
    parameters = list(inspect.signature(function).parameters)
    wants_job = JOB in parameters and JOB not in needed
    expected = sorted([*needed, JOB] if wants_job else needed)
    if len(set(needed)) < len(needed):
        raise UsageError(f"progdef {called}: two ports need the same parameter; rename one")
    if sorted(parameters) != expected:
        raise UsageError(
            f"progdef {called}: the function's parameters are ({', '.join(parameters)}), "
            f"its ports require ({', '.join(needed)})"
        )
    return wants_job
