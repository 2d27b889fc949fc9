"""A progdef as a Python function."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import UsageError
from .job import STOP, Address, Job, valid_name
from .types import Type, as_type, matches, parse_typename, variables

Function = Callable[..., Awaitable[None]]
#: What a port may be declared with: a type, or a typename whose records are raw octets.
Declared = Mapping[str, "Type[Any] | str"]

#: The name of the parameter that gets what the function runs for, if the function has one.
JOB = "job"


@dataclass(frozen=True)
class JobInfo:
    """What a function runs for."""

    flow: str
    node: str
    job: str
    executor: str
    traceparent: str | None


@dataclass(frozen=True)
class Progdef:
    """A program: its ports, and the function that serves one job. Made by ``progdef``."""

    name: str
    description: str
    inputs: Mapping[str, Type[Any]]
    outputs: Mapping[str, Type[Any]]
    function: Function
    #: The function's parameter for each input and output, and whether it wants the JobInfo.
    input_parameters: Mapping[str, str]
    output_parameters: Mapping[str, str]
    wants_job: bool

    def check(self, job: Job) -> None:
        """UsageError says how a job differs from what the program declares.

        Progdef and program have drifted apart then.
        """
        bound: dict[str, Any] = {}
        inputs = {port: a for port, a in job.inputs.items() if port != STOP}  # the executor's own
        wrong = [
            *_compare("input", self.inputs, inputs, bound),
            *_compare("output", self.outputs, job.outputs, bound),
        ]
        if wrong:
            raise UsageError(
                f"progdef {job.progdef} does not fit its program {self.name}: {'; '.join(wrong)}"
            )

    def document(self, command: list[str]) -> dict[str, Any]:
        """Return the progdef's document (schemas/progdef.json), to be completed and applied."""
        document: dict[str, Any] = {"name": self.name, "description": self.description}
        types = [*self.inputs.values(), *self.outputs.values()]
        params = sorted(set().union(*(variables(parse_typename(t.name)) for t in types)))
        if params:
            document["typeParams"] = params
        document["inputs"] = {port: t.name for port, t in self.inputs.items()}
        document["outputs"] = {port: t.name for port, t in self.outputs.items()}
        document["command"] = command
        return document


def _compare(
    kind: str, declared: Mapping[str, Type[Any]], given: Mapping[str, Address], bound: dict[str, Any]
) -> list[str]:
    """Return what is wrong with the ports of a job, in words."""
    wrong = []
    for port, type_ in declared.items():
        if port not in given:
            wrong.append(f"the progdef has no {kind} {port}, which the program declares")
            continue
        actual, expected = given[port].type, parse_typename(type_.name)
        before = {str(v): str(bound[v]) for v in variables(expected) if v in bound}
        if not matches(expected, parse_typename(actual), bound):
            where = "".join(f", where {v} is {t} at another port" for v, t in before.items())
            wrong.append(f"{kind} {port} carries {actual}, the program expects {type_.name}{where}")
    for port in given:
        if port not in declared:
            wrong.append(f"the progdef has {kind} {port}, which the program does not declare")
    return wrong


def progdef(
    *, inputs: Declared | None = None, outputs: Declared | None = None, name: str | None = None
) -> Callable[[Function], Progdef]:
    """Make an async function a progdef.

    The function gets each port by a parameter of the port's name: with _ for -, with _ behind it if
    it is a word of Python (``in_``), and with _in or _out behind it if an input and an output have the
    same name. A parameter ``job`` gets a JobInfo. UsageError if ports and parameters do not fit.
    """

    def decorate(function: Function) -> Progdef:
        called = name or function.__name__.strip("_")
        ins = _types(called, inputs or {})
        outs = _types(called, outputs or {})
        if STOP in ins or "panic" in outs:
            raise UsageError(f"progdef {called}: every node has an input stop and an output panic")
        if not inspect.iscoroutinefunction(function):
            raise UsageError(f"progdef {called}: the function must be written with async def")
        if not valid_name(called):
            raise UsageError(f"progdef {called}: this is not a name; say name= with another")
        both = set(ins) & set(outs)
        in_names = {port: _parameter(port, "_in" if port in both else "") for port in ins}
        out_names = {port: _parameter(port, "_out" if port in both else "") for port in outs}
        wants_job = _check_parameters(called, function, [*in_names.values(), *out_names.values()])
        description = inspect.getdoc(function) or ""
        return Progdef(called, description, ins, outs, function, in_names, out_names, wants_job)

    return decorate


def _types(called: str, ports: Declared) -> dict[str, Type[Any]]:
    types = {}
    for port, declared in ports.items():
        if not valid_name(port):
            raise UsageError(f"progdef {called}: port {port!r} is not a name")
        try:
            types[port] = as_type(declared)
        except ValueError as e:
            raise UsageError(f"progdef {called}: port {port}: {e}") from e
    return types


def _parameter(port: str, suffix: str) -> str:
    parameter = re.sub(r"^(?=[0-9])", "_", port.replace("-", "_")) + suffix
    return parameter + "_" if keyword.iskeyword(parameter) else parameter


def _check_parameters(called: str, function: Function, needed: list[str]) -> bool:
    """Compare a function's parameters with its ports'; report whether it wants the job too."""
    parameters = list(inspect.signature(function).parameters)
    wants_job = JOB in parameters and JOB not in needed
    expected = sorted([*needed, JOB] if wants_job else needed)
    if len(set(needed)) < len(needed):
        raise UsageError(f"progdef {called}: two ports need the same parameter; rename one")
    if sorted(parameters) != expected:
        raise UsageError(
            f"progdef {called}: the function's parameters are ({', '.join(parameters)}), "
            f"its ports need ({', '.join(needed)})"
        )
    return wants_job
