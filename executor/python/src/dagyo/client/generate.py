"""dagyo-types: the progdefs of a catalogue as Python classes, for the builder of flows."""

from __future__ import annotations

import asyncio
import keyword
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import DagyoError
from ..types import Typename, parse_typename
from .client import Client
from .flow import attributes, port_type

USAGE = """\
Usage: dagyo-types > progdefs.py

Write the progdefs of the catalogue as Python classes, for dagyo.Flow. The gateway is
that of DAGYO_HTTP_URL, with the token in DAGYO_HTTP_TOKEN, or else that of the
running `dagyo up` of this user.
"""

_BUILTIN = {
    "utf8-string": ("Utf8String", "str"),
    "octets": ("AnyBytes", "bytes"),
    "json": ("AnyJson", "Any"),
    "Result": ("ResultOf", ""),
    "list": ("ListOf", ""),
}

_HEAD = '''\
"""The progdefs of a catalogue. Written by dagyo-types. Do not edit."""

# ruff: noqa
# fmt: off
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from dagyo import Err, Ok
from dagyo.client.flow import Flow, In, Node, Out, Ports
from dagyo.client.typenames import AnyBytes, AnyJson, ListOf, ResultOf, Typename, Utf8String
'''

_RESERVED = {
    "Iterable", "Any", "Generic", "TypeVar", "Err", "Ok", "Flow", "In", "Node", "Out", "Ports",
    "AnyBytes", "AnyJson", "ListOf", "ResultOf", "Typename", "Utf8String",
}  # fmt: skip


def to_python(catalogue: Iterable[Mapping[str, Any]]) -> str:
    """Return a module with a class for each progdef and typename."""
    progdefs = sorted((p["document"] for p in catalogue), key=lambda d: d["name"])
    return _Module(progdefs).text()


class _Module:
    """The names that are taken, and the text."""

    def __init__(self, progdefs: Sequence[Mapping[str, Any]]) -> None:
        self._progdefs = progdefs
        self._taken = set(_RESERVED)
        variables = {v for p in progdefs for v in p.get("typeParams") or ()}
        self._variables = {v: self._name(v) for v in sorted(variables)}
        heads: dict[str, int] = {}
        for p in progdefs:
            for port in [*(p.get("inputs") or {}).values(), *(p.get("outputs") or {}).values()]:
                _heads(parse_typename(port_type(port)), set(p.get("typeParams") or ()), heads)
        self._arities = {h: n for h, n in sorted(heads.items()) if h not in _BUILTIN}
        self._classes = {h: self._name(_camel(h)) for h in self._arities}

    def _name(self, wanted: str) -> str:
        name = wanted
        while name in self._taken or keyword.iskeyword(name):
            name += "_"
        self._taken.add(name)
        return name

    def text(self) -> str:
        parts = [_HEAD]
        parts.extend(
            f'\n{name} = TypeVar("{name}", bound=Typename)' for name in self._variables.values()
        )
        parts.extend(self._typename(head, arity) for head, arity in self._arities.items())
        parts.extend(self._progdef(p) for p in self._progdefs)
        return "".join(parts).rstrip() + "\n"

    def _typename(self, head: str, arity: int) -> str:
        letters = [f"_{self._classes[head]}{n}" for n in range(arity)]
        declared = "".join(f'\n{x} = TypeVar("{x}", bound=Typename)' for x in letters)
        generic = f", Generic[{', '.join(letters)}]" if letters else ""
        return (
            f"{declared}\n\n\nclass {self._classes[head]}(Typename{generic}):\n"
            f"    typename = {head!r}\n"
        )

    def _progdef(self, p: Mapping[str, Any]) -> str:
        params = list(p.get("typeParams") or ())
        names = [self._variables[v] for v in params]
        generic = f", Generic[{', '.join(names)}]" if names else ""
        args = f"[{', '.join(names)}]" if names else ""
        name = self._name(_camel(p["name"]))
        ins, outs = p.get("inputs") or {}, p.get("outputs") or {}
        return (
            self._ports(f"_{name}In", "In", ins, {"stop": "In[Any]"}, params, generic)
            + self._ports(f"_{name}Out", "Out", outs, {"panic": "Out[AnyJson]"}, params, generic)
            + f"\n\nclass {name}(Node{generic}):\n"
            + _docstring(p.get("description") or "")
            + f"    progdef = {p['name']!r}\n"
            + (f"    type_params = {tuple(params)!r}\n" if params else "")
            + f"    inputs = {_declared(ins)}\n    outputs = {_declared(outs)}\n"
            + f"    in_: _{name}In{args}\n    out: _{name}Out{args}\n\n"
            + self._constructor(ins, params)
        )

    def _ports(
        self,
        name: str,
        side: str,
        ports: Mapping[str, Any],
        more: Mapping[str, str],
        params: list[str],
        generic: str,
    ) -> str:
        fields = {
            a: f"{side}[{self._annotation(parse_typename(port_type(ports[p])), params)}]"
            for a, p in attributes(ports).items()
        }
        for extra, annotation in more.items():
            fields.setdefault(extra, annotation)
        lines = "".join(f"    {a}: {t}\n" for a, t in fields.items())
        return f"\n\nclass {name}(Ports{generic}):\n{lines}"

    def _constructor(self, ins: Mapping[str, Any], params: list[str]) -> str:
        arguments = ["_self", "_flow: Flow", "_name: str", "/"]
        keywords = [f"{v}: type[{self._variables[v]}] | None = None" for v in params]
        given = attributes(ins)
        for attribute, port in given.items():
            typename = parse_typename(port_type(ins[port]))
            out, value = self._annotation(typename, params), self._value(typename, params)
            keywords.append(f"{attribute}: Out[{out}] | Iterable[{value}] | None = None")
        if keywords:
            arguments += ["*", *keywords]
        lines = "".join(f"        {a},\n" for a in arguments)
        passed = ", ".join(f"{a!r}: {a}" for a in given)
        types = ", ".join(f"{v!r}: {v}" for v in params)
        return (
            f"    def __init__(\n{lines}    ) -> None:\n"
            f"        super().__init__(_flow, _name, {{{passed}}}, {{{types}}})\n"
        )

    def _annotation(self, name: Typename, params: list[str]) -> str:
        """Return the class of a typename."""
        if not name.arguments and name.head in params:
            return self._variables[name.head]
        builtin = _BUILTIN.get(name.head)
        own = builtin[0] if builtin else self._classes[name.head]
        if not name.arguments:
            return own
        return f"{own}[{', '.join(self._annotation(a, params) for a in name.arguments)}]"

    def _value(self, name: Typename, params: list[str]) -> str:
        """Return the type of the values of a typename."""
        if name.head in params:
            return "Any"
        if len(name.arguments) == 1 and name.head in ("Result", "list"):
            inner = self._value(name.arguments[0], params)
            return f"Ok[{inner}] | Err" if name.head == "Result" else f"list[{inner}]"
        return _BUILTIN.get(name.head, ("", "bytes"))[1] or "bytes"


def _heads(name: Typename, params: set[str], found: dict[str, int]) -> None:
    if name.arguments or name.head not in params:
        found[name.head] = max(found.get(name.head, 0), len(name.arguments))
    for argument in name.arguments:
        _heads(argument, params, found)


def _camel(name: str) -> str:
    """Return the name of a class."""
    camel = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))
    return "_" + camel if not camel or camel[0].isdigit() else camel


def _docstring(description: str) -> str:
    """Return a description as a literal that it cannot end."""
    text = " ".join(description.split())
    return f"    {text!r}\n\n" if text else ""


def _declared(ports: Mapping[str, Any]) -> str:
    fields = (f"{a!r}: ({p!r}, {port_type(ports[p])!r})" for a, p in attributes(ports).items())
    return "{" + ", ".join(fields) + "}"


async def _generate() -> str:
    async with Client() as client:
        return to_python(await client.progdefs())


def main() -> None:
    """Run dagyo-types."""
    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(USAGE)
        return
    if arguments:
        sys.stderr.write(f"dagyo-types: unexpected argument {arguments[0]}\n{USAGE}")
        sys.exit(2)
    try:
        sys.stdout.write(asyncio.run(_generate()))
    except DagyoError as e:
        sys.stderr.write(f"dagyo-types: {e}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
