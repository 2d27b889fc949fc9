// Written by dagyo-types from the catalogue. Do not edit.

export const progdefs = {
  /** Writes the values of results. The first error is a panic with the error's text. */
  "assert": {
    name: "assert",
    typeParams: ["T"],
    inputs: { "in": "Result<T>" },
    outputs: { "out": "T" },
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
  /** Writes the values of results, and drops the errors. */
  "ignore_errors": {
    name: "ignore_errors",
    typeParams: ["T"],
    inputs: { "in": "Result<T>" },
    outputs: { "out": "T" },
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
  /** Writes a list of two for each record of a and the record of b at the same position. If one input has more records than the other, it panics. */
  "zip": {
    name: "zip",
    typeParams: ["T"],
    inputs: { "a": "T", "b": "T" },
    outputs: { "pair": "list<T>" },
  },
} as const;
