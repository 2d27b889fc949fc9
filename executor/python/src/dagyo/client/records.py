"""Records, and the lines in which the gateway carries them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, Union

from ..errors import UsageError
from ..types import Json, Octets, Result, String, Type, Typename, parse_typename
from ..wire import uvarint
from .errors import RecordError

#: How the gateway carries records in a body.
Format = Literal["lines", "jsonl", "base64", "file"]

#: What an input is fed from: records, or bytes, which are those of a file.
Source = Union[  # noqa: UP007 (an alias of Python 3.10)
    Iterable[Any], AsyncIterable[Any], bytes, bytearray, memoryview, Path, BinaryIO
]

_BATCH = 64 << 10  # the bytes of records that are sent together
_TURN = 0.01  # seconds for which a plain iterable may keep the event loop
_TEXT = ("utf8-string", "json")


class _ListOf(Type["list[Any]"]):
    """The elements in order, each after its length as an unsigned LEB128 number."""

    def __init__(self, element: Type[Any]) -> None:
        super().__init__(f"list<{element.name}>")
        self.element = element

    def encode(self, value: list[Any]) -> bytes:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{self.name} needs a list, not {type(value).__name__}")
        out = bytearray()
        for record in map(self.element.encode, value):
            out += uvarint(len(record)) + record
        return bytes(out)

    def decode(self, record: bytes) -> list[Any]:
        values, at = [], 0
        while at < len(record):
            length, at = _length(record, at)
            if length > len(record) - at:
                raise ValueError("it ends in the middle of an element")
            values.append(self.element.decode(record[at : at + length]))
            at += length
        return values


def _length(record: bytes, at: int) -> tuple[int, int]:
    """Read a LEB128 number; return it and the position after it."""
    length = shift = 0
    while at < len(record) and shift < 64:
        byte = record[at]
        length |= (byte & 0x7F) << shift
        at += 1
        if byte < 128:
            return length, at
        shift += 7
    raise ValueError("it ends in the middle of a length")


def type_of(typename: str) -> Type[Any]:
    """Return the type of a typename's values.

    ``str`` for ``utf8-string``, what ``json.loads`` returns for ``json``, ``dagyo.Ok`` and
    ``dagyo.Err`` for ``Result<T>``, a list for ``list<T>``, and bytes for all others.
    """
    return _type_of(parse_typename(typename))


def _type_of(name: Typename) -> Type[Any]:
    for known in (String, Json):
        if str(name) == known.name:
            return known
    if len(name.arguments) == 1:
        if name.head == "Result":
            return Result[_type_of(name.arguments[0])]
        if name.head == "list":
            return _ListOf(_type_of(name.arguments[0]))
    return Octets(str(name))


def to_value(typename: str, record: Any) -> Any:
    """Return a record as it is written in a flow document."""
    encoded = type_of(typename).encode(record)
    if typename in _TEXT:
        return encoded.decode()
    return {"base64": base64.b64encode(encoded).decode()}


def record_format(typename: str) -> Format:
    """Return the format in which records are sent one by one, whatever is in them."""
    return "jsonl" if typename in _TEXT else "base64"


def bytes_format(typename: str) -> Format:
    """Return the format of a file: text has a record in each line, all else is one record."""
    return "lines" if typename in _TEXT else "file"


def encoder(typename: str) -> Callable[[Any], bytes]:
    """Return a function from a record to its line."""
    type_ = type_of(typename)
    if type_ is Json:
        return lambda record: type_.encode(record) + b"\n"
    if type_ is String:
        return _quoted
    return lambda record: base64.b64encode(type_.encode(record)) + b"\n"


def decoder(typename: str) -> Callable[[bytes], Any]:
    """Return a function from a line to its record."""
    type_ = type_of(typename)
    if type_ is Json:
        return type_.decode
    if type_ is String:
        return _text
    return lambda line: type_.decode(_base64(line))


_quote = json.JSONEncoder(ensure_ascii=False).encode
_unquote = json.JSONDecoder().decode


def _quoted(record: Any) -> bytes:
    if not isinstance(record, str):
        String.encode(record)  # it raises
    return _quote(record).encode() + b"\n"


def _text(line: bytes) -> str:
    value = _unquote(line.decode())
    if not isinstance(value, str):
        raise ValueError("it is not valid UTF-8")  # noqa: TRY004
    return value


def _base64(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as e:
        raise ValueError(f"its line is not Base64: {e}") from e


def decode_lines(output: str, typename: str) -> Callable[[list[bytes]], Iterator[Any]]:
    """Return a function from lines to records, which counts them for its errors."""
    decode = decoder(typename)
    number = 0

    def records(lines: list[bytes]) -> Iterator[Any]:
        nonlocal number
        for line in lines:
            try:
                record = decode(line)
            except (ValueError, RecursionError) as e:
                raise RecordError(f"output {output}", number, f"it is not {typename}: {e}") from e
            number += 1
            yield record

    return records


def to_body(name: str, typename: str, source: Source) -> tuple[AsyncGenerator[bytes, None], Format]:
    """Return the body that carries a source, and its format."""
    if isinstance(source, bytes | bytearray | memoryview):
        return _file(io.BytesIO(source)), bytes_format(typename)
    if isinstance(source, Path):
        return _file(source), bytes_format(typename)
    if isinstance(source, io.TextIOBase):
        raise UsageError(f"input {name} is a text file: open it in binary mode, or pass its Path")
    if isinstance(source, io.IOBase):
        return _file(source), bytes_format(typename)  # type: ignore[arg-type]
    if isinstance(source, str | dict) or not isinstance(source, Iterable | AsyncIterable):
        raise UsageError(
            f"input {name} must be a list, an iterable or bytes, not {type(source).__name__}:"
            " put a single record into a list"
        )
    line = _counting(name, encoder(typename))
    if isinstance(source, AsyncIterable):
        return _each(source, line), record_format(typename)
    return _batches(source, line), record_format(typename)


def _counting(name: str, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Number the records for errors."""
    number = 0

    def line(record: Any) -> bytes:
        nonlocal number
        try:
            encoded = encode(record)
        except (TypeError, ValueError, RecursionError) as e:
            raise RecordError(f"input {name}", number, str(e)) from e
        number += 1
        return encoded

    return line


async def _file(source: Path | BinaryIO | io.BytesIO) -> AsyncGenerator[bytes, None]:
    file = await asyncio.to_thread(source.open, "rb") if isinstance(source, Path) else source
    try:
        while chunk := await asyncio.to_thread(file.read, _BATCH):
            yield chunk
    finally:
        if isinstance(source, Path):
            file.close()


async def _each(
    source: AsyncIterable[Any], line: Callable[[Any], bytes]
) -> AsyncGenerator[bytes, None]:
    records: AsyncIterator[Any] = aiter(source)
    try:
        async for record in records:
            yield line(record)
    finally:
        if isinstance(records, AsyncGenerator):
            await records.aclose()


async def _batches(source: Iterable[Any], line: Callable[[Any], bytes]) -> AsyncGenerator[bytes, None]:
    """Send records together, unless they are waited for; let other tasks run in between."""
    batch, begun = bytearray(), time.monotonic()
    for record in source:
        batch += line(record)
        if len(batch) >= _BATCH or time.monotonic() - begun > _TURN:
            yield bytes(batch)
            await asyncio.sleep(0)
            batch, begun = bytearray(), time.monotonic()
    if batch:
        yield bytes(batch)
