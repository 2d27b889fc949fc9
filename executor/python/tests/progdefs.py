"""The progdefs of a catalogue. Written by dagyo-types. Do not edit."""

# ruff: noqa
# fmt: off
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from dagyo import Err, Ok
from dagyo.client.flow import Flow, In, Node, Out, Ports
from dagyo.client.typenames import AnyBytes, AnyJson, ListOf, ResultOf, Typename, Utf8String

T = TypeVar("T", bound=Typename)

class _AssertIn(Ports, Generic[T]):
    in_: In[ResultOf[T]]
    stop: In[Any]


class _AssertOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Assert(Node, Generic[T]):
    "Writes the values of results. The first error is a panic with the error's text."

    progdef = 'assert'
    type_params = ('T',)
    inputs = {'in_': ('in', 'Result<T>')}
    outputs = {'out': ('out', 'T')}
    in_: _AssertIn[T]
    out: _AssertOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[ResultOf[T]] | Iterable[Ok[Any] | Err] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _BatchIn(Ports, Generic[T]):
    in_: In[T]
    n: In[AnyJson]
    stop: In[Any]


class _BatchOut(Ports, Generic[T]):
    list: Out[ListOf[T]]
    panic: Out[AnyJson]


class Batch(Node, Generic[T]):
    'Writes lists of n records. The last list may be shorter. A list of more than 16 MiB is a panic.'

    progdef = 'batch'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'n': ('n', 'json')}
    outputs = {'list': ('list', 'list<T>')}
    in_: _BatchIn[T]
    out: _BatchOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        n: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'n': n}, {'T': T})


class _ConcatIn(Ports, Generic[T]):
    a: In[T]
    b: In[T]
    stop: In[Any]


class _ConcatOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Concat(Node, Generic[T]):
    "Writes all of a, and then all of b. Until a has ended, the writer of b waits when b's window is full."

    progdef = 'concat'
    type_params = ('T',)
    inputs = {'a': ('a', 'T'), 'b': ('b', 'T')}
    outputs = {'out': ('out', 'T')}
    in_: _ConcatIn[T]
    out: _ConcatOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        a: Out[T] | Iterable[Any] | None = None,
        b: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'a': a, 'b': b}, {'T': T})


class _CountIn(Ports, Generic[T]):
    in_: In[T]
    stop: In[Any]


class _CountOut(Ports, Generic[T]):
    count: Out[AnyJson]
    panic: Out[AnyJson]


class Count(Node, Generic[T]):
    'Counts the records of its input, and writes their number at the end.'

    progdef = 'count'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T')}
    outputs = {'count': ('count', 'json')}
    in_: _CountIn[T]
    out: _CountOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _CounterIn(Ports):
    stop: In[Any]


class _CounterOut(Ports):
    number: Out[AnyJson]
    panic: Out[AnyJson]


class Counter(Node):
    'Writes 0, 1, 2 and so on, as long as its output is read. It never ends by itself.'

    progdef = 'counter'
    inputs = {}
    outputs = {'number': ('number', 'json')}
    in_: _CounterIn
    out: _CounterOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
    ) -> None:
        super().__init__(_flow, _name, {}, {})


class _DedupeIn(Ports, Generic[T]):
    in_: In[T]
    options: In[AnyJson]
    stop: In[Any]


class _DedupeOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Dedupe(Node, Generic[T]):
    'Writes the first of equal records ({}), or of records with the same key ({"key": ".id"}, a jq filter; the records must be JSON). It remembers up to 100,000 different ones ({"remember": 1000000} at most); with more it panics, or forgets the oldest ({"full": "forget"}).'

    progdef = 'dedupe'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'options': ('options', 'json')}
    outputs = {'out': ('out', 'T')}
    in_: _DedupeIn[T]
    out: _DedupeOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        options: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'options': options}, {'T': T})


class _FlattenIn(Ports, Generic[T]):
    in_: In[ListOf[T]]
    stop: In[Any]


class _FlattenOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Flatten(Node, Generic[T]):
    'Writes each element of each list as one record.'

    progdef = 'flatten'
    type_params = ('T',)
    inputs = {'in_': ('in', 'list<T>')}
    outputs = {'out': ('out', 'T')}
    in_: _FlattenIn[T]
    out: _FlattenOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[ListOf[T]] | Iterable[list[Any]] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _GreetIn(Ports):
    name: In[Utf8String]
    stop: In[Any]


class _GreetOut(Ports):
    greeting: Out[Utf8String]
    panic: Out[AnyJson]


class Greet(Node):
    'Writes a greeting for each name: "hello " and the name.'

    progdef = 'greet'
    inputs = {'name': ('name', 'utf8-string')}
    outputs = {'greeting': ('greeting', 'utf8-string')}
    in_: _GreetIn
    out: _GreetOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        name: Out[Utf8String] | Iterable[str] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'name': name}, {})


class _HeadIn(Ports, Generic[T]):
    in_: In[T]
    n: In[AnyJson]
    stop: In[Any]


class _HeadOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Head(Node, Generic[T]):
    'Writes the first n records, and then closes its input, so that even an endless source ends.'

    progdef = 'head'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'n': ('n', 'json')}
    outputs = {'out': ('out', 'T')}
    in_: _HeadIn[T]
    out: _HeadOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        n: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'n': n}, {'T': T})


class _HttpGetIn(Ports):
    url: In[Utf8String]
    stop: In[Any]


class _HttpGetOut(Ports):
    body: Out[ResultOf[AnyBytes]]
    panic: Out[AnyJson]


class HttpGet(Node):
    'Fetches each URL with GET, 8 at a time. The body of a 2xx response is a value of at most 16 MiB; anything else is an error, after 4 tries if it may be temporary. It accesses public addresses only, unless the operator allows others.'

    progdef = 'http_get'
    inputs = {'url': ('url', 'utf8-string')}
    outputs = {'body': ('body', 'Result<octets>')}
    in_: _HttpGetIn
    out: _HttpGetOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        url: Out[Utf8String] | Iterable[str] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'url': url}, {})


class _HttpPostIn(Ports):
    body: In[AnyBytes]
    content_type: In[Utf8String]
    url: In[Utf8String]
    stop: In[Any]


class _HttpPostOut(Ports):
    answer: Out[ResultOf[AnyBytes]]
    panic: Out[AnyJson]


class HttpPost(Node):
    'Posts each body to a URL, one after the other. The body of a 2xx response is a value of at most 16 MiB; anything else is an error. A request is repeated, up to 3 times, only if the server has not acted on it. It accesses public addresses only, unless the operator allows others.'

    progdef = 'http_post'
    inputs = {'body': ('body', 'octets'), 'content_type': ('content_type', 'utf8-string'), 'url': ('url', 'utf8-string')}
    outputs = {'answer': ('answer', 'Result<octets>')}
    in_: _HttpPostIn
    out: _HttpPostOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        body: Out[AnyBytes] | Iterable[bytes] | None = None,
        content_type: Out[Utf8String] | Iterable[str] | None = None,
        url: Out[Utf8String] | Iterable[str] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'body': body, 'content_type': content_type, 'url': url}, {})


class _IgnoreErrorsIn(Ports, Generic[T]):
    in_: In[ResultOf[T]]
    stop: In[Any]


class _IgnoreErrorsOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class IgnoreErrors(Node, Generic[T]):
    'Writes the values of results, and drops the errors.'

    progdef = 'ignore_errors'
    type_params = ('T',)
    inputs = {'in_': ('in', 'Result<T>')}
    outputs = {'out': ('out', 'T')}
    in_: _IgnoreErrorsIn[T]
    out: _IgnoreErrorsOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[ResultOf[T]] | Iterable[Ok[Any] | Err] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _JoinIn(Ports):
    a: In[AnyJson]
    b: In[AnyJson]
    options: In[AnyJson]
    stop: In[Any]


class _JoinOut(Ports):
    out: Out[AnyJson]
    panic: Out[AnyJson]


class Join(Node):
    'Writes an object with a record of a and a record of b, {"a": …, "b": …}, for each pair with the same key: {"a": ".customer", "b": ".id"} are the jq filters of the keys. With {"type": "left"} in addition, a record of a without a match is paired with null. It reads b first and keeps it in memory: more than 64 MiB is a panic. A key that is null matches nothing.'

    progdef = 'join'
    inputs = {'a': ('a', 'json'), 'b': ('b', 'json'), 'options': ('options', 'json')}
    outputs = {'out': ('out', 'json')}
    in_: _JoinIn
    out: _JoinOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        a: Out[AnyJson] | Iterable[Any] | None = None,
        b: Out[AnyJson] | Iterable[Any] | None = None,
        options: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'a': a, 'b': b, 'options': options}, {})


class _JqIn(Ports):
    filter: In[Utf8String]
    in_: In[AnyJson]
    stop: In[Any]


class _JqOut(Ports):
    out: Out[AnyJson]
    panic: Out[AnyJson]


class Jq(Node):
    'Writes the results of a jq filter for each record: none, one or many. A filter that does not compile, or fails on a record, is a panic. It has no access to files, modules or the environment.'

    progdef = 'jq'
    inputs = {'filter': ('filter', 'utf8-string'), 'in_': ('in', 'json')}
    outputs = {'out': ('out', 'json')}
    in_: _JqIn
    out: _JqOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        filter: Out[Utf8String] | Iterable[str] | None = None,
        in_: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'filter': filter, 'in_': in_}, {})


class _LinesIn(Ports, Generic[T]):
    in_: In[T]
    stop: In[Any]


class _LinesOut(Ports, Generic[T]):
    line: Out[Utf8String]
    panic: Out[AnyJson]


class Lines(Node, Generic[T]):
    'Splits a text that arrives in pieces of any size into lines. "\\n" or "\\r\\n" ends a line, and so does the end of the input. A line that is not UTF-8, or is longer than 16 MiB, is a panic.'

    progdef = 'lines'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T')}
    outputs = {'line': ('line', 'utf8-string')}
    in_: _LinesIn[T]
    out: _LinesOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _LogErrorsIn(Ports, Generic[T]):
    in_: In[ResultOf[T]]
    stop: In[Any]


class _LogErrorsOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class LogErrors(Node, Generic[T]):
    "Writes the values of results, and logs the errors in the executor's log, at most 100 per job."

    progdef = 'log_errors'
    type_params = ('T',)
    inputs = {'in_': ('in', 'Result<T>')}
    outputs = {'out': ('out', 'T')}
    in_: _LogErrorsIn[T]
    out: _LogErrorsOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[ResultOf[T]] | Iterable[Ok[Any] | Err] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _MergeIn(Ports, Generic[T]):
    a: In[T]
    b: In[T]
    stop: In[Any]


class _MergeOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Merge(Node, Generic[T]):
    'Writes the records of both inputs as soon as they arrive. The order within each input is kept.'

    progdef = 'merge'
    type_params = ('T',)
    inputs = {'a': ('a', 'T'), 'b': ('b', 'T')}
    outputs = {'out': ('out', 'T')}
    in_: _MergeIn[T]
    out: _MergeOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        a: Out[T] | Iterable[Any] | None = None,
        b: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'a': a, 'b': b}, {'T': T})


class _PartitionIn(Ports):
    filter: In[Utf8String]
    in_: In[AnyJson]
    stop: In[Any]


class _PartitionOut(Ports):
    matching: Out[AnyJson]
    others: Out[AnyJson]
    panic: Out[AnyJson]


class Partition(Node):
    'Writes the records for which a jq filter is true to one output, and all others to another; false and null are not true. A filter that does not have exactly one result is a panic. When one output is no longer read, the other continues.'

    progdef = 'partition'
    inputs = {'filter': ('filter', 'utf8-string'), 'in_': ('in', 'json')}
    outputs = {'matching': ('matching', 'json'), 'others': ('others', 'json')}
    in_: _PartitionIn
    out: _PartitionOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        filter: Out[Utf8String] | Iterable[str] | None = None,
        in_: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'filter': filter, 'in_': in_}, {})


class _SampleIn(Ports, Generic[T]):
    in_: In[T]
    options: In[AnyJson]
    stop: In[Any]


class _SampleOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Sample(Node, Generic[T]):
    'Writes some of the records: the first of every n ({"every": 10}), or each with a probability ({"probability": 0.1}); with a seed ({"probability": 0.1, "seed": 1}), the same input has the same sample.'

    progdef = 'sample'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'options': ('options', 'json')}
    outputs = {'out': ('out', 'T')}
    in_: _SampleIn[T]
    out: _SampleOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        options: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'options': options}, {'T': T})


class _SleepIn(Ports, Generic[T]):
    in_: In[T]
    options: In[AnyJson]
    stop: In[Any]


class _SleepOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Sleep(Node, Generic[T]):
    'Delays the stream by a duration ({"start": "10s"}), or pauses before each record ({"each": "100ms"}), or both.'

    progdef = 'sleep'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'options': ('options', 'json')}
    outputs = {'out': ('out', 'T')}
    in_: _SleepIn[T]
    out: _SleepOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        options: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'options': options}, {'T': T})


class _SortIn(Ports, Generic[T]):
    in_: In[T]
    options: In[AnyJson]
    stop: In[Any]


class _SortOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Sort(Node, Generic[T]):
    'Writes all records in order once the input has ended: by their bytes ({}), or by a key ({"key": ".id"}, a jq filter; the records must be JSON), ascending or descending ({"order": "descending"}). Equal records keep their order. Above 32 MiB it uses a temporary file; above 900 MiB it panics.'

    progdef = 'sort'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'options': ('options', 'json')}
    outputs = {'out': ('out', 'T')}
    in_: _SortIn[T]
    out: _SortOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        options: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'options': options}, {'T': T})


class _SourceIn(Ports):
    stop: In[Any]


class _SourceOut(Ports):
    name: Out[Utf8String]
    panic: Out[AnyJson]


class Source(Node):
    'Writes 26 names, one for each letter from A to Z: Alice, Bob, … Zach.'

    progdef = 'source'
    inputs = {}
    outputs = {'name': ('name', 'utf8-string')}
    in_: _SourceIn
    out: _SourceOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
    ) -> None:
        super().__init__(_flow, _name, {}, {})


class _SplitErrorsIn(Ports, Generic[T]):
    in_: In[ResultOf[T]]
    stop: In[Any]


class _SplitErrorsOut(Ports, Generic[T]):
    errors: Out[Utf8String]
    out: Out[T]
    panic: Out[AnyJson]


class SplitErrors(Node, Generic[T]):
    'Writes the values of results to one output and the texts of errors to another. When one is no longer read, the other continues.'

    progdef = 'split_errors'
    type_params = ('T',)
    inputs = {'in_': ('in', 'Result<T>')}
    outputs = {'errors': ('errors', 'utf8-string'), 'out': ('out', 'T')}
    in_: _SplitErrorsIn[T]
    out: _SplitErrorsOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[ResultOf[T]] | Iterable[Ok[Any] | Err] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _TeeIn(Ports, Generic[T]):
    in_: In[T]
    stop: In[Any]


class _TeeOut(Ports, Generic[T]):
    a: Out[T]
    b: Out[T]
    panic: Out[AnyJson]


class Tee(Node, Generic[T]):
    'Copies its input to two outputs. The two are never further apart than a window and one batch; when one is no longer read, the other continues.'

    progdef = 'tee'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T')}
    outputs = {'a': ('a', 'T'), 'b': ('b', 'T')}
    in_: _TeeIn[T]
    out: _TeeOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _TemplateIn(Ports):
    in_: In[AnyJson]
    template: In[Utf8String]
    stop: In[Any]


class _TemplateOut(Ports):
    text: Out[Utf8String]
    panic: Out[AnyJson]


class Template(Node):
    'Fills a text with values of each record. {{FILTER}} is replaced by the result of a jq filter: a string as it is, other values as JSON. A value that is missing or null is a panic with the record\'s number, unless the filter has an alternative: {{.name // "friend"}}. A text of more than 16 MiB is a panic.'

    progdef = 'template'
    inputs = {'in_': ('in', 'json'), 'template': ('template', 'utf8-string')}
    outputs = {'text': ('text', 'utf8-string')}
    in_: _TemplateIn
    out: _TemplateOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        in_: Out[AnyJson] | Iterable[Any] | None = None,
        template: Out[Utf8String] | Iterable[str] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'template': template}, {})


class _ThrottleIn(Ports, Generic[T]):
    in_: In[T]
    rate: In[AnyJson]
    stop: In[Any]


class _ThrottleOut(Ports, Generic[T]):
    out: Out[T]
    panic: Out[AnyJson]


class Throttle(Node, Generic[T]):
    'Writes all records, but at most a number of them each second. Its writer waits when the window is full.'

    progdef = 'throttle'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'rate': ('rate', 'json')}
    outputs = {'out': ('out', 'T')}
    in_: _ThrottleIn[T]
    out: _ThrottleOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        rate: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'rate': rate}, {'T': T})


class _UnorderedCartesianProductIn(Ports):
    a: In[Utf8String]
    b: In[Utf8String]
    stop: In[Any]


class _UnorderedCartesianProductOut(Ports):
    product: Out[Utf8String]
    panic: Out[AnyJson]


class UnorderedCartesianProduct(Node):
    'Writes every pair of a record of a and a record of b, separated by a space, as soon as both have arrived and in no fixed order. It keeps all of its input, and panics above 10,000,000 bytes.'

    progdef = 'unordered_cartesian_product'
    inputs = {'a': ('a', 'utf8-string'), 'b': ('b', 'utf8-string')}
    outputs = {'product': ('product', 'utf8-string')}
    in_: _UnorderedCartesianProductIn
    out: _UnorderedCartesianProductOut

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        a: Out[Utf8String] | Iterable[str] | None = None,
        b: Out[Utf8String] | Iterable[str] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'a': a, 'b': b}, {})


class _VoidSinkIn(Ports, Generic[T]):
    in_: In[T]
    stop: In[Any]


class _VoidSinkOut(Ports, Generic[T]):
    panic: Out[AnyJson]


class VoidSink(Node, Generic[T]):
    'Reads its input to the end and discards it.'

    progdef = 'void_sink'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T')}
    outputs = {}
    in_: _VoidSinkIn[T]
    out: _VoidSinkOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_}, {'T': T})


class _WindowIn(Ports, Generic[T]):
    in_: In[T]
    options: In[AnyJson]
    stop: In[Any]


class _WindowOut(Ports, Generic[T]):
    window: Out[ListOf[T]]
    panic: Out[AnyJson]


class Window(Node, Generic[T]):
    'Writes lists of successive records: of a number of them ({"records": 100}), overlapping if there is a step ({"records": 5, "step": 1}), or of those that arrive within a time, counted from the first ({"time": "10s"}, with records at most as many). The last list may be shorter. A list of more than 16 MiB is a panic.'

    progdef = 'window'
    type_params = ('T',)
    inputs = {'in_': ('in', 'T'), 'options': ('options', 'json')}
    outputs = {'window': ('window', 'list<T>')}
    in_: _WindowIn[T]
    out: _WindowOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        in_: Out[T] | Iterable[Any] | None = None,
        options: Out[AnyJson] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'in_': in_, 'options': options}, {'T': T})


class _ZipIn(Ports, Generic[T]):
    a: In[T]
    b: In[T]
    stop: In[Any]


class _ZipOut(Ports, Generic[T]):
    pair: Out[ListOf[T]]
    panic: Out[AnyJson]


class Zip(Node, Generic[T]):
    'Writes a list of two for each record of a and the record of b at the same position. If one input has more records than the other, it panics.'

    progdef = 'zip'
    type_params = ('T',)
    inputs = {'a': ('a', 'T'), 'b': ('b', 'T')}
    outputs = {'pair': ('pair', 'list<T>')}
    in_: _ZipIn[T]
    out: _ZipOut[T]

    def __init__(
        _self,
        _flow: Flow,
        _name: str,
        /,
        *,
        T: type[T] | None = None,
        a: Out[T] | Iterable[Any] | None = None,
        b: Out[T] | Iterable[Any] | None = None,
    ) -> None:
        super().__init__(_flow, _name, {'a': a, 'b': b}, {'T': T})
