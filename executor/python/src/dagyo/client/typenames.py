"""Typenames as classes, so that type checkers compare those of connected ports.

They have no instances. `dagyo-types` writes a class for every other typename of a catalogue.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

from ..errors import UsageError
from ..types import normal


class Typename:
    """A typename. Subclasses have its name, without arguments."""

    typename: ClassVar[str]

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} stands for a typename: it has no instances")


T = TypeVar("T", bound=Typename)


class Utf8String(Typename):
    """Text: ``utf8-string``."""

    typename = "utf8-string"


class AnyBytes(Typename):
    """Arbitrary bytes: ``octets``."""

    typename = "octets"


class AnyJson(Typename):
    """A JSON value: ``json``."""

    typename = "json"


class ResultOf(Typename, Generic[T]):
    """A value or an error: ``Result<T>``."""

    typename = "Result"


class ListOf(Typename, Generic[T]):
    """A list: ``list<T>``."""

    typename = "list"


def typename_of(name: Any) -> str:
    """Return a typename as text; one that is text already in its normal form."""
    if isinstance(name, str):
        try:
            return normal(name)
        except ValueError as e:
            raise UsageError(str(e)) from e
    head = get_origin(name) or name
    if not (isinstance(head, type) and issubclass(head, Typename)) or head is Typename:
        raise UsageError(f"{name!r} is not a typename: give text, or a class such as Utf8String")
    arguments = get_args(name)
    if not arguments:
        return head.typename
    return f"{head.typename}<{','.join(map(typename_of, arguments))}>"
