// Written by dagyo-types from the catalogue. Do not edit.

export const progdefs = {
  /** Writes the values of results. The first error is a panic with the error's text. */
  "assert": {
    name: "assert",
    typeParams: ["T"],
    inputs: { "in": "Result<T>" },
    outputs: { "out": "T" },
  },
  /** Writes lists of n records. The last list may be shorter. A list of more than 16 MiB is a panic. */
  "batch": {
    name: "batch",
    typeParams: ["T"],
    inputs: { "in": "T", "n": "json" },
    outputs: { "list": "list<T>" },
  },
  /** Writes all of a, and then all of b. Until a has ended, the writer of b waits when b's window is full. */
  "concat": {
    name: "concat",
    typeParams: ["T"],
    inputs: { "a": "T", "b": "T" },
    outputs: { "out": "T" },
  },
  /** Counts the records of its input, and writes their number at the end. */
  "count": {
    name: "count",
    typeParams: ["T"],
    inputs: { "in": "T" },
    outputs: { "count": "json" },
  },
  /** Writes 0, 1, 2 and so on, as long as its output is read. It never ends by itself. */
  "counter": {
    name: "counter",
    inputs: {},
    outputs: { "number": "json" },
  },
  /** Writes the first of equal records ({}), or of records with the same key ({"key": ".id"}, a jq filter; the records must be JSON). It remembers up to 100,000 different ones ({"remember": 1000000} at most); with more it panics, or forgets the oldest ({"full": "forget"}). */
  "dedupe": {
    name: "dedupe",
    typeParams: ["T"],
    inputs: { "in": "T", "options": "json" },
    outputs: { "out": "T" },
  },
  /** Writes each element of each list as one record. */
  "flatten": {
    name: "flatten",
    typeParams: ["T"],
    inputs: { "in": "list<T>" },
    outputs: { "out": "T" },
  },
  /** Writes a greeting for each name: "hello " and the name. */
  "greet": {
    name: "greet",
    inputs: { "name": "utf8-string" },
    outputs: { "greeting": "utf8-string" },
  },
  /** Writes the first n records, and then closes its input, so that even an endless source ends. */
  "head": {
    name: "head",
    typeParams: ["T"],
    inputs: { "in": "T", "n": "json" },
    outputs: { "out": "T" },
  },
  /** Fetches each URL with GET, 8 at a time. The body of a 2xx response is a value of at most 16 MiB; anything else is an error, after 4 tries if it may be temporary. It accesses public addresses only, unless the operator allows others. */
  "http_get": {
    name: "http_get",
    inputs: { "url": "utf8-string" },
    outputs: { "body": "Result<octets>" },
  },
  /** Posts each body to a URL, one after the other. The body of a 2xx response is a value of at most 16 MiB; anything else is an error. A request is repeated, up to 3 times, only if the server has not acted on it. It accesses public addresses only, unless the operator allows others. */
  "http_post": {
    name: "http_post",
    inputs: { "body": "octets", "content_type": "utf8-string", "url": "utf8-string" },
    outputs: { "answer": "Result<octets>" },
  },
  /** Writes the values of results, and drops the errors. */
  "ignore_errors": {
    name: "ignore_errors",
    typeParams: ["T"],
    inputs: { "in": "Result<T>" },
    outputs: { "out": "T" },
  },
  /** Writes an object with a record of a and a record of b, {"a": …, "b": …}, for each pair with the same key: {"a": ".customer", "b": ".id"} are the jq filters of the keys. With {"type": "left"} in addition, a record of a without a match is paired with null. It reads b first and keeps it in memory: more than 64 MiB is a panic. A key that is null matches nothing. */
  "join": {
    name: "join",
    inputs: { "a": "json", "b": "json", "options": "json" },
    outputs: { "out": "json" },
  },
  /** Writes the results of a jq filter for each record: none, one or many. A filter that does not compile, or fails on a record, is a panic. It has no access to files, modules or the environment. */
  "jq": {
    name: "jq",
    inputs: { "filter": "utf8-string", "in": "json" },
    outputs: { "out": "json" },
  },
  /** Splits a text that arrives in pieces of any size into lines. "\n" or "\r\n" ends a line, and so does the end of the input. A line that is not UTF-8, or is longer than 16 MiB, is a panic. */
  "lines": {
    name: "lines",
    typeParams: ["T"],
    inputs: { "in": "T" },
    outputs: { "line": "utf8-string" },
  },
  /** Writes the values of results, and logs the errors in the executor's log, at most 100 per job. */
  "log_errors": {
    name: "log_errors",
    typeParams: ["T"],
    inputs: { "in": "Result<T>" },
    outputs: { "out": "T" },
  },
  /** Writes the records of both inputs as soon as they arrive. The order within each input is kept. */
  "merge": {
    name: "merge",
    typeParams: ["T"],
    inputs: { "a": "T", "b": "T" },
    outputs: { "out": "T" },
  },
  /** Writes the records for which a jq filter is true to one output, and all others to another; false and null are not true. A filter that does not have exactly one result is a panic. When one output is no longer read, the other continues. */
  "partition": {
    name: "partition",
    inputs: { "filter": "utf8-string", "in": "json" },
    outputs: { "matching": "json", "others": "json" },
  },
  /** Writes some of the records: the first of every n ({"every": 10}), or each with a probability ({"probability": 0.1}); with a seed ({"probability": 0.1, "seed": 1}), the same input has the same sample. */
  "sample": {
    name: "sample",
    typeParams: ["T"],
    inputs: { "in": "T", "options": "json" },
    outputs: { "out": "T" },
  },
  /** Delays the stream by a duration ({"start": "10s"}), or pauses before each record ({"each": "100ms"}), or both. */
  "sleep": {
    name: "sleep",
    typeParams: ["T"],
    inputs: { "in": "T", "options": "json" },
    outputs: { "out": "T" },
  },
  /** Writes all records in order once the input has ended: by their bytes ({}), or by a key ({"key": ".id"}, a jq filter; the records must be JSON), ascending or descending ({"order": "descending"}). Equal records keep their order. Above 32 MiB it uses a temporary file; above 900 MiB it panics. */
  "sort": {
    name: "sort",
    typeParams: ["T"],
    inputs: { "in": "T", "options": "json" },
    outputs: { "out": "T" },
  },
  /** Writes 26 names, one for each letter from A to Z: Alice, Bob, … Zach. */
  "source": {
    name: "source",
    inputs: {},
    outputs: { "name": "utf8-string" },
  },
  /** Writes the values of results to one output and the texts of errors to another. When one is no longer read, the other continues. */
  "split_errors": {
    name: "split_errors",
    typeParams: ["T"],
    inputs: { "in": "Result<T>" },
    outputs: { "errors": "utf8-string", "out": "T" },
  },
  /** Copies its input to two outputs. The two are never further apart than a window and one batch; when one is no longer read, the other continues. */
  "tee": {
    name: "tee",
    typeParams: ["T"],
    inputs: { "in": "T" },
    outputs: { "a": "T", "b": "T" },
  },
  /** Fills a text with values of each record. {{FILTER}} is replaced by the result of a jq filter: a string as it is, other values as JSON. A value that is missing or null is a panic with the record's number, unless the filter has an alternative: {{.name // "friend"}}. A text of more than 16 MiB is a panic. */
  "template": {
    name: "template",
    inputs: { "in": "json", "template": "utf8-string" },
    outputs: { "text": "utf8-string" },
  },
  /** Writes all records, but at most a number of them each second. Its writer waits when the window is full. */
  "throttle": {
    name: "throttle",
    typeParams: ["T"],
    inputs: { "in": "T", "rate": "json" },
    outputs: { "out": "T" },
  },
  /** Writes every pair of a record of a and a record of b, separated by a space, as soon as both have arrived and in no fixed order. It keeps all of its input, and panics above 10,000,000 bytes. */
  "unordered_cartesian_product": {
    name: "unordered_cartesian_product",
    inputs: { "a": "utf8-string", "b": "utf8-string" },
    outputs: { "product": "utf8-string" },
  },
  /** Reads its input to the end and discards it. */
  "void_sink": {
    name: "void_sink",
    typeParams: ["T"],
    inputs: { "in": "T" },
    outputs: {},
  },
  /** Writes lists of successive records: of a number of them ({"records": 100}), overlapping if there is a step ({"records": 5, "step": 1}), or of those that arrive within a time, counted from the first ({"time": "10s"}, with records at most as many). The last list may be shorter. A list of more than 16 MiB is a panic. */
  "window": {
    name: "window",
    typeParams: ["T"],
    inputs: { "in": "T", "options": "json" },
    outputs: { "window": "list<T>" },
  },
  /** Writes a list of two for each record of a and the record of b at the same position. If one input has more records than the other, it panics. */
  "zip": {
    name: "zip",
    typeParams: ["T"],
    inputs: { "a": "T", "b": "T" },
    outputs: { "pair": "list<T>" },
  },
} as const;
