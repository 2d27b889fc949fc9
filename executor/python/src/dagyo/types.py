"""Typenames, and the conversion between values and records."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union

from .errors import DagyoError

T = TypeVar("T")


class Undecodable(DagyoError):
    """The record at ``index`` does not match its typename; ``values`` are the values before it."""

    def __init__(self, index: int, message: str, values: list[Any]) -> None:
        super().__init__(message)
        self.index = index
        self.values = values


class Type(ABC, Generic[T]):
    """The type of a port: a typename, and the conversion of its values.

    A subclass has ``encode`` and ``decode``, which raise ValueError or TypeError for invalid values
    and records. It may override ``encode_batch`` and ``decode_batch`` for speed.
    """

    def __init__(self, name: str) -> None:
        #: The typename as written in progdefs. It may contain type variables.
        self.name = normal(name)

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """Return the bytes of a value."""

    @abstractmethod
    def decode(self, record: bytes) -> T:
        """Return the value in a record."""

    def encode_batch(self, values: Sequence[T]) -> list[bytes]:
        """Return the bytes of each value."""
        return [self.encode(v) for v in values]

    def decode_batch(self, records: Sequence[bytes]) -> list[T]:
        """Return the value of each record; raise Undecodable at the first invalid one."""
        values: list[T] = []
        for index, record in enumerate(records):
            try:
                values.append(self.decode(record))
            except (ValueError, TypeError) as e:
                message = f"the record is not {self.name}: {e}"
                raise Undecodable(index, message, values) from e
        return values

    def __repr__(self) -> str:
        return f"<dagyo type {self.name}>"


class _String(Type[str]):
    def encode(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"{self.name} needs a str, not {type(value).__name__}")
        return value.encode()

    def decode(self, record: bytes) -> str:
        return record.decode()

    def encode_batch(self, values: Sequence[str]) -> list[bytes]:
        try:
            return list(map(str.encode, values))
        except TypeError:
            return super().encode_batch(values)

    def decode_batch(self, records: Sequence[bytes]) -> list[str]:
        try:
            return list(map(bytes.decode, records))
        except UnicodeDecodeError:
            return super().decode_batch(records)


class Octets(Type[bytes]):
    """Arbitrary bytes under a custom typename: ``Octets("png-image")``."""

    def encode(self, value: bytes) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        raise TypeError(f"{self.name} needs bytes, not {type(value).__name__}")

    def decode(self, record: bytes) -> bytes:
        return record

    def encode_batch(self, values: Sequence[bytes]) -> list[bytes]:
        if set(map(type, values)) <= {bytes}:
            return list(values)
        return super().encode_batch(values)

    def decode_batch(self, records: Sequence[bytes]) -> list[bytes]:
        return list(records)


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


class _Json(Type[Any]):
    _encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    _decode = json.JSONDecoder(parse_constant=_no_json).decode

    def encode(self, value: Any) -> bytes:
        return self._encode(value).encode()

    def decode(self, record: bytes) -> Any:
        return self._decode(record.decode())


@dataclass(frozen=True)
class Ok(Generic[T]):
    """A successful result."""

    value: T


@dataclass(frozen=True)
class Err:
    """A result that is an error."""

    message: str


#: The values of a port of type ``Result[...]``.
Outcome = Union[Ok[T], Err]  # noqa: UP007 (Python 3.10 cannot subscript a union of a variable)


class _ResultOf(Type["Outcome[T]"]):
    """One byte, 0 or 1, followed by the value's bytes or by a message in UTF-8."""

    def __init__(self, inner: Type[T]) -> None:
        super().__init__(f"Result<{inner.name}>")
        #: The type of successful values.
        self.inner = inner

    def encode(self, value: Outcome[T]) -> bytes:
        if isinstance(value, Ok):
            return b"\0" + self.inner.encode(value.value)
        if isinstance(value, Err):
            return b"\1" + value.message.encode()
        raise TypeError(f"{self.name} needs dagyo.Ok or dagyo.Err, not {type(value).__name__}")

    def decode(self, record: bytes) -> Outcome[T]:
        if record[:1] == b"\0":
            return Ok(self.inner.decode(record[1:]))
        if record[:1] == b"\1":
            return Err(record[1:].decode())
        raise ValueError(f"its tag is {record[:1].hex() or 'missing'}, not 00 or 01")


class _Result:
    """``Result[String]`` is the type of results of strings."""

    def __getitem__(self, inner: Type[T]) -> Type[Outcome[T]]:
        return _ResultOf(as_type(inner))


def as_type(t: Type[T] | str) -> Type[Any]:
    """Return a type unchanged; for a typename, return a type of arbitrary bytes."""
    return Octets(t) if isinstance(t, str) else t


# Typenames.

_TOKEN = re.compile(r"\s*([^<>,\s]+|[<>,])")
_VARIABLE = re.compile(r"[A-Z][a-zA-Z0-9]*")


@dataclass(frozen=True)
class Typename:
    """A parsed typename: ``list<T>`` has head ``list`` and one argument."""

    head: str
    arguments: tuple[Typename, ...] = ()

    @property
    def is_variable(self) -> bool:
        """Whether it is a type variable, such as T."""
        return not self.arguments and _VARIABLE.fullmatch(self.head) is not None

    def __str__(self) -> str:
        if not self.arguments:
            return self.head
        return f"{self.head}<{','.join(map(str, self.arguments))}>"


def parse_typename(text: str) -> Typename:
    """Parse a typename; raise ValueError if it is malformed."""
    tokens, at = [], 0
    while match := _TOKEN.match(text, at):
        tokens.append(match[1])
        at = match.end()
    tokens.reverse()
    name = _parse(tokens, text)
    if tokens or text[at:].strip():
        raise ValueError(f"{text!r} is not a typename: unexpected text after its end")
    return name


def _parse(tokens: list[str], text: str) -> Typename:
    if not tokens or tokens[-1] in "<>,":
        raise ValueError(f"{text!r} is not a typename: a name is missing")
    head, arguments = tokens.pop(), []
    if tokens and tokens[-1] == "<":
        while tokens[-1] in "<,":
            tokens.pop()
            arguments.append(_parse(tokens, text))
            if not tokens:
                raise ValueError(f"{text!r} is not a typename: a > is missing")
        if tokens.pop() != ">":
            raise ValueError(f"{text!r} is not a typename: a comma or a > is missing")
    return Typename(head, tuple(arguments))


def normal(text: str) -> str:
    """Return a typename without spaces; raise ValueError if it is malformed."""
    return str(parse_typename(text))


def matches(pattern: Typename, actual: Typename, bound: dict[str, Typename]) -> bool:
    """Report whether a typename matches a pattern; add the values of its variables to bound."""
    if pattern.is_variable:
        return bound.setdefault(pattern.head, actual) == actual
    if pattern.head != actual.head or len(pattern.arguments) != len(actual.arguments):
        return False
    return all(matches(p, a, bound) for p, a in zip(pattern.arguments, actual.arguments, strict=True))


def variables(name: Typename) -> set[str]:
    """Return the type variables in a typename."""
    if name.is_variable:
        return {name.head}
    found: set[str] = set()
    return found.union(*map(variables, name.arguments))


#: Typename utf8-string: text.
String: Type[str] = _String("utf8-string")

#: Typename octets: arbitrary bytes.
Bytes: Type[bytes] = Octets("octets")

#: Typename json: one JSON text per record.
Json: Type[Any] = _Json("json")

#: Result[String] is typename Result<utf8-string>; its values are Ok and Err.
Result = _Result()
