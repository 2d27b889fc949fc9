/**
 * A client of Dagyo over HTTP. This is the entry for browsers and other environments with a global `fetch`; Node has its own,
 * which finds a running `dagyo up`.
 */

export { Dagyo } from "./dagyo.js";
export type { Abortable, Fetch, FlowPage, ListOptions, Options, RunOptions, RunResult, Sink, Sinks, Submitted } from "./dagyo.js";
export { DagyoError, FlowError } from "./errors.js";
export { isVerdict } from "./events.js";
export { Flow } from "./flow.js";
export type { Ends, In, Node, NodeOptions, Out, Ports, TypedFlow } from "./flow.js";
export type * from "./model.js";
export { decode, encode, toValue } from "./records.js";
export type { Bytes, Format, RecordOf, Result, Source } from "./records.js";
