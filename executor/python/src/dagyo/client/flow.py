"""A builder of flow documents that knows the types of ports."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..errors import UsageError
from ..types import Typename as Parsed
from ..types import matches, parse_typename, variables
from .records import to_value
from .typenames import AnyJson, Typename, typename_of

T = TypeVar("T")
N = TypeVar("N", bound=Typename)


@dataclass(frozen=True, eq=False)
class Out(Generic[T]):
    """An output port of a node, or an input of the flow. T is its typename."""

    flow: Flow
    #: ``node.port``; the name alone for an input of the flow.
    ref: str
    #: The typename as the progdef declares it; None if it is not known.
    type: str | None
    node: Node | None = None

    def connect(self, to: In[T]) -> None:
        """Connect it to an input of a node."""
        self.flow._connect(self, to)  # noqa: SLF001


@dataclass(frozen=True, eq=False)
class In(Generic[T]):
    """An input port of a node. T is its typename."""

    flow: Flow
    #: ``node.port``
    ref: str
    #: The typename as the progdef declares it; None if it is not known.
    type: str | None
    node: Node | None = None


#: What an input is given: an output, or constant records.
Given = Out[Any] | Iterable[Any] | None


class Ports:
    """The ports of a node, as attributes, or by their names in brackets."""

    def __init__(self, about: str, ports: Mapping[str, Any]) -> None:
        self.__about = about
        self.__ports = ports
        for attribute, port in ports.items():
            setattr(self, attribute, port)

    def __getitem__(self, name: str) -> Any:
        for port in self.__ports.values():
            if port.ref.partition(".")[2] == name:
                return port
        raise self._unknown(name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__ports.values())

    if not TYPE_CHECKING:  # else every attribute would be known

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            raise self._unknown(name)

    def _unknown(self, name: str) -> AttributeError:
        has = ", ".join(self.__ports) or "none"
        return AttributeError(f"{self.__about} {name!r}: it has {has}")


class AnyPorts(Ports):
    """The ports of a progdef that is not known: all names."""

    def __init__(self, make: Any) -> None:
        super().__init__("", {})
        self.__make = make

    def __getitem__(self, name: str) -> Any:
        return self.__make(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.__make(name.removesuffix("_"))


class Node:
    """A use of a progdef in a flow. `dagyo-types` writes a subclass for each progdef."""

    progdef: ClassVar[str]
    type_params: ClassVar[tuple[str, ...]] = ()
    #: The ports, by attribute: their names and typenames.
    inputs: ClassVar[Mapping[str, tuple[str, str]]]
    outputs: ClassVar[Mapping[str, tuple[str, str]]]

    def __init__(
        self, flow: Flow, name: str, given: Mapping[str, Given], types: Mapping[str, Any]
    ) -> None:
        self.name = name
        self._flow = flow
        self._bound = {p: parse_typename(typename_of(t)) for p, t in types.items() if t is not None}
        document: dict[str, Any] = {"progdef": self.progdef}
        if self._bound:
            document["types"] = {p: str(t) for p, t in self._bound.items()}
        flow._add(name, document)  # noqa: SLF001
        self._bind()
        try:
            self._connect(given, document)
        except BaseException:
            flow._drop(name)  # noqa: SLF001
            raise

    def _bind(self) -> None:
        """Make the ports."""
        flow, name = self._flow, self.name
        ins: dict[str, Any] = {a: In(flow, f"{name}.{p}", t, self) for a, (p, t) in self.inputs.items()}
        outs: dict[str, Any] = {
            a: Out(flow, f"{name}.{p}", t, self) for a, (p, t) in self.outputs.items()
        }
        ins.setdefault("stop", In(flow, f"{name}.stop", None, self))
        outs.setdefault("panic", Out(flow, f"{name}.panic", AnyJson.typename, self))
        self.in_ = Ports(f"{self.progdef} has no input", ins)
        self.out = Ports(f"{self.progdef} has no output", outs)

    def _connect(self, given: Mapping[str, Given], document: dict[str, Any]) -> None:
        """Connect outputs first: they determine the types of constants."""
        present = {attribute: g for attribute, g in given.items() if g is not None}
        for attribute, one in present.items():
            if isinstance(one, Out):
                one.connect(getattr(self.in_, attribute))
        for attribute, one in present.items():
            if not isinstance(one, Out):
                port = getattr(self.in_, attribute)
                document.setdefault("with", {})[port.ref.partition(".")[2]] = self._constants(port, one)

    def _constants(self, port: In[Any], records: Iterable[Any]) -> list[Any]:
        if port.type is None:
            raise UsageError(
                f"the typename of {port.ref} is not known, so it cannot have constant records:"
                " give the node its progdef's document, or add the records with flow.constant"
            )
        typename = self._solved(parse_typename(port.type))
        if unknown := sorted(variables(typename)):
            raise UsageError(f"the typename of {port.ref} is {typename}: give the node {unknown[0]}=…")
        return _values(port.ref, str(typename), records)

    def _solved(self, name: Parsed) -> Parsed:
        """Replace the type parameters that are known."""
        if name.head in self.type_params and not name.arguments:
            return self._bound.get(name.head, name)
        return Parsed(name.head, tuple(map(self._solved, name.arguments)))


class AnyNode(Node):
    """A node whose progdef a type checker does not know."""

    in_: AnyPorts
    out: AnyPorts

    def __init__(self, flow: Flow, name: str, progdef: str, given: Mapping[str, Any]) -> None:
        self.progdef = progdef  # type: ignore[misc]
        _build_any(self, flow, name, given)

    def _bind(self) -> None:
        flow, name = self._flow, self.name
        self.in_ = AnyPorts(lambda port: In(flow, f"{name}.{port}", None, self))
        self.out = AnyPorts(lambda port: Out(flow, f"{name}.{port}", None, self))


class KnownNode(AnyNode):
    """A node whose progdef is known when the program runs."""

    def __init__(
        self, flow: Flow, name: str, document: Mapping[str, Any], given: Mapping[str, Any]
    ) -> None:
        self.type_params = tuple(document.get("typeParams") or ())  # type: ignore[misc]
        self.inputs = _ports(document.get("inputs"))  # type: ignore[misc]
        self.outputs = _ports(document.get("outputs"))  # type: ignore[misc]
        super().__init__(flow, name, document["name"], given)

    _bind = Node._bind  # noqa: SLF001


def _build_any(node: AnyNode, flow: Flow, name: str, given: Mapping[str, Any]) -> None:
    """Type parameters begin with a capital letter, ports do not."""
    ports = {key: value for key, value in given.items() if not key[:1].isupper()}
    types = {key: value for key, value in given.items() if key[:1].isupper()}
    Node.__init__(node, flow, name, ports, types)


def attributes(names: Iterable[str]) -> dict[str, str]:
    """Return an identifier for each name: ``in`` is ``in_``, ``first-name`` is ``first_name``."""
    found: dict[str, str] = {}
    for name in sorted(names):
        identifier = name.replace("-", "_")
        if identifier[0].isdigit():
            identifier = "_" + identifier
        while keyword.iskeyword(identifier) or identifier in found:
            identifier += "_"  # names of ports do not end with it
        found[identifier] = name
    return found


def _ports(declared: Mapping[str, Any] | None) -> dict[str, tuple[str, str]]:
    ports = declared or {}
    return {a: (p, port_type(ports[p])) for a, p in attributes(ports).items()}


def port_type(port: str | Mapping[str, Any]) -> str:
    """Return the typename of a port in a progdef."""
    return port if isinstance(port, str) else str(port["type"])


@dataclass(eq=False)
class Flow:
    """Builds a flow document.

    ::

        flow = Flow()
        numbers = progdefs.Counter(flow, "numbers")
        first = progdefs.Head(flow, "first", in_=numbers.out.number, n=[3])
        flow.output("numbers", first.out.out)

    A type checker refuses connections of ports whose typenames differ, and the flow does when it is
    built.
    """

    deadline: str | None = None
    priority: int | None = None
    _nodes: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False)
    _edges: list[dict[str, str]] = field(default_factory=list, init=False, repr=False)
    _inputs: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _outputs: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    #: Where each output goes, and what each input comes from.
    _sinks: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _sources: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def node(self, name: str, progdef: str | Mapping[str, Any], /, **given: Any) -> AnyNode:
        """Add a node.

        Its progdef is a name, and checked when the flow is validated, or a document of the
        catalogue, and checked at once. Each argument is an input with an output of another node or
        constant records, or, with a capital letter, a typename for a type parameter.
        """
        if isinstance(progdef, str):
            return AnyNode(self, name, progdef, given)
        return KnownNode(self, name, progdef.get("document", progdef), given)

    def constant(self, name: str, type: type[N], records: Iterable[Any], /) -> Out[N]:  # noqa: A002
        """Add a stream of constant records."""
        typename = typename_of(type)
        self._add(name, {"const": {"type": typename, "values": _values(name, typename, records)}})
        return Out(self, f"{name}.out", typename)

    def input(self, name: str, /) -> Out[Any]:
        """Add an input of the flow. Connect it to the port that reads it."""
        if name in self._inputs:
            raise UsageError(f"the flow has an input {name!r} already: give each a name of its own")
        self._inputs[name] = ""
        return Out(self, name, None)

    def output(self, name: str, port: Out[Any], /) -> None:
        """Add an output of the flow, with the port that writes it."""
        self._ours(port)
        if name in self._outputs:
            raise UsageError(f"the flow has an output {name!r} already: give each a name of its own")
        if "." not in port.ref:
            raise UsageError(
                f"an input of the flow cannot be its output {name!r}: put a node in between"
            )
        self._check_unread(port)
        self._sinks[port.ref] = f"the output {name}"
        self._outputs[name] = port.ref

    def document(self) -> dict[str, Any]:
        """Return the document."""
        loose = [name for name, port in self._inputs.items() if not port]
        if loose:
            raise UsageError(f"the inputs {', '.join(loose)} of the flow are not connected")
        return self._draft()

    def _draft(self) -> dict[str, Any]:
        """Return what there is of the document."""
        all_ = {
            "nodes": self._nodes,
            "edges": self._edges,
            "inputs": {name: port for name, port in self._inputs.items() if port},
            "outputs": self._outputs,
            "deadline": self.deadline,
            "priority": self.priority,
        }
        return {name: value for name, value in all_.items() if value or name == "nodes"}

    def _repr_svg_(self) -> str:
        from .drawing import svg

        return svg(self._draft())

    def _connect(self, source: Out[Any], to: In[Any]) -> None:
        self._ours(source)
        self._ours(to)
        if to.ref in self._sources:
            raise UsageError(
                f"{to.ref} is already connected to {self._sources[to.ref]}: an input reads one output;"
                " put a `merge` in between"
            )
        self._check_unread(source)
        _fit(source, to)  # last: it determines type parameters
        self._sinks[source.ref] = to.ref
        self._sources[to.ref] = source.ref
        if "." in source.ref:
            self._edges.append({"from": source.ref, "to": to.ref})
        else:
            self._inputs[source.ref] = to.ref

    def _add(self, name: str, node: dict[str, Any]) -> None:
        if name in self._nodes:
            raise UsageError(f"the flow has a node {name!r} already: give each a name of its own")
        self._nodes[name] = node

    def _drop(self, name: str) -> None:
        """Take back a node, and what is connected to its inputs."""
        del self._nodes[name]
        mine = [to for to in self._sources if to.startswith(f"{name}.")]
        for source in [self._sources.pop(to) for to in mine]:
            del self._sinks[source]
            if source in self._inputs:
                self._inputs[source] = ""
        self._edges = [e for e in self._edges if e["to"] not in mine]

    def _ours(self, port: Out[Any] | In[Any]) -> None:
        if port.flow is not self:
            raise UsageError(f"{port.ref} belongs to another flow")

    def _check_unread(self, port: Out[Any]) -> None:
        if port.ref in self._sinks:
            raise UsageError(
                f"{port.ref} is already connected to {self._sinks[port.ref]}: an output feeds one"
                " input; put a `tee` in between to copy it"
            )


def _values(about: str, typename: str, records: Iterable[Any]) -> list[Any]:
    if isinstance(records, str | bytes | bytearray | memoryview | Mapping) or not isinstance(
        records, Iterable
    ):
        raise UsageError(
            f"{about} must have a list of records, not {type(records).__name__}:"
            " put a single record into a list"
        )
    values = []
    for number, record in enumerate(records):
        try:
            values.append(to_value(typename, record))
        except (TypeError, ValueError, RecursionError) as e:
            raise UsageError(f"{about}, record {number}: {e}") from e
    return values


def _fit(source: Out[Any], to: In[Any]) -> None:
    """Compare the typenames of two ports; they determine type parameters of their nodes."""
    if source.type is None or to.type is None:
        return
    given, wanted = _solved(source), _solved(to)
    fits = True
    if not variables(given):
        fits = _match(wanted, given, to.node)
    elif not variables(wanted):
        fits = _match(given, wanted, source.node)
    if not fits:
        raise UsageError(
            f"type mismatch: {source.ref} is {given}, and {to.ref} is {wanted}: connect ports of equal"
            " types, or put a node in between that converts"
        )


def _solved(port: Out[Any] | In[Any]) -> Parsed:
    name = parse_typename(port.type or "")
    return port.node._solved(name) if port.node is not None else name  # noqa: SLF001


def _match(pattern: Parsed, actual: Parsed, node: Node | None) -> bool:
    found: dict[str, Parsed] = {}
    if not matches(pattern, actual, found):
        return False
    if node is not None:
        node._bound.update(found)  # noqa: SLF001
    return True
