"""The ports that a function's parameters declare."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import UsageError
from .ports import In, Out, SyncIn, SyncOut
from .types import Bytes, Err, Json, Ok, Result, String, Type, as_type


@dataclass(frozen=True)
class Port:
    """The name of a port if it differs from the parameter's: ``Annotated[In[str],
    Port("first-name")]``."""

    name: str


@dataclass(frozen=True)
class Declared:
    """A parameter that is a port."""

    parameter: str
    port: str
    input: bool
    blocking: bool
    #: The type in the brackets of In or Out.
    values: Any


_KINDS: dict[Any, tuple[bool, bool]] = {
    In: (True, False), Out: (False, False), SyncIn: (True, True), SyncOut: (False, True),
}  # fmt: skip


def ports_of(called: str, function: Callable[..., Any], *, strict: bool) -> list[Declared]:
    """Return the parameters that are annotated as ports.

    Raises UsageError if the annotations cannot be read, unless they are not needed.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as e:
        if not strict:
            return []
        raise UsageError(
            f"progdef {called}: cannot read the types of the function's parameters: {e}; they must "
            "be names of the module that also exist at run time"
        ) from e
    found = []
    for parameter in inspect.signature(function).parameters:
        port = _declared(parameter, hints.get(parameter))
        if port is not None:
            found.append(port)
    return found


def _declared(parameter: str, hint: Any) -> Declared | None:
    name = port_name(parameter)
    if get_origin(hint) is Annotated:
        named = [m for m in get_args(hint)[1:] if isinstance(m, Port)]
        name = named[0].name if named else name
        hint = get_args(hint)[0]
    kind = _KINDS.get(get_origin(hint) or hint)
    if kind is None:
        return None
    values = get_args(hint) or (Any,)
    return Declared(parameter, name, *kind, values[0])


def port_name(parameter: str) -> str:
    """Return the port name for a parameter: ``in`` for ``in_``."""
    return re.sub(r"^_(?=[0-9])", "", parameter.removesuffix("_"))


def type_of(called: str, port: Declared) -> Type[Any]:
    """Return the type for a port's annotation; raise UsageError if there is none."""
    try:
        type_ = _type(port.values)
    except ValueError as e:
        raise UsageError(f"progdef {called}: port {port.port}: {e}") from e
    check(called, port, type_)
    return type_


def _type(values: Any) -> Type[Any]:
    if get_origin(values) is Annotated:
        for extra in get_args(values)[1:]:
            if isinstance(extra, Type | str):
                return as_type(extra)
        return _type(get_args(values)[0])
    if values is str:
        return String
    if values is bytes:
        return Bytes
    if values is Any:
        return Json
    inner = _outcome(values)
    if inner is not None:
        return Result[_type(inner)]
    shown = getattr(values, "__name__", values)
    raise ValueError(
        f"{shown} has no typename: write Annotated[{shown}, TYPE], where TYPE is a dagyo.Type "
        "or a typename"
    )


def _outcome(values: Any) -> Any:
    """Return X for Outcome[X], and None for anything else."""
    if get_origin(values) not in (Union, types.UnionType):
        return None
    alternatives = list(get_args(values))
    if Err not in alternatives or len(alternatives) != 2:
        return None
    alternatives.remove(Err)
    ok = alternatives[0]
    return get_args(ok)[0] if get_origin(ok) is Ok else None


def check(called: str, port: Declared, type_: Type[Any]) -> None:
    """Raise UsageError if the annotation of a port does not match the values of its type."""
    annotated = port.values
    if get_origin(annotated) is Annotated:
        annotated = get_args(annotated)[0]
    carries = values_of(type_)
    narrow, wide = (carries, annotated) if port.input else (annotated, carries)
    if not _fits(narrow, wide):
        kind = "input" if port.input else "output"
        raise UsageError(
            f"progdef {called}: {kind} {port.port} carries {type_.name}, whose values are "
            f"{_shown(carries)}; the parameter {port.parameter} is annotated with {_shown(annotated)}"
        )


def _shown(values: Any) -> str:
    return values.__name__ if isinstance(values, type) else str(values).replace("typing.", "")


def _fits(narrow: Any, wide: Any) -> bool:
    """Report whether values of one annotation are values of another, as far as known."""
    one, other = _outcome(narrow), _outcome(wide)
    if one is not None and other is not None:
        return _fits(one, other)
    if Any in (narrow, wide) or isinstance(narrow, TypeVar) or isinstance(wide, TypeVar):
        return True
    if isinstance(narrow, type) and isinstance(wide, type):
        return issubclass(narrow, wide)
    return bool(narrow == wide) or not (_plain(narrow) and _plain(wide))


def _plain(values: Any) -> bool:
    return isinstance(values, type) or _outcome(values) is not None


def values_of(type_: Type[Any]) -> Any:
    """Return the annotation of a type's values, or Any if it has none."""
    inner = getattr(type_, "inner", None)
    if isinstance(inner, Type):
        return Union[Ok[values_of(inner)], Err]  # type: ignore[misc] # noqa: UP007
    for cls in type(type_).__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Type and not isinstance(get_args(base)[0], TypeVar):
                return get_args(base)[0]
    return Any
