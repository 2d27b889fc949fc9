import type { Failure, FlowStatus, Problem, Verdict } from "./model.js";

/** The gateway refused a request, or did not answer. */
export class DagyoError extends Error {
  override readonly name: string = "DagyoError";

  constructor(
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
    /** What is wrong, and what to do about it. */
    readonly detail: string,
    /** What is wrong with a document. */
    readonly problems: readonly Problem[] = [],
    options?: ErrorOptions,
  ) {
    super([detail, ...problems.map(line)].join("\n  "), options);
  }
}

function line(p: Problem): string {
  return `${p.pointer || "/"}: ${p.message} [${p.code}]${p.hint ? ` (${p.hint})` : ""}`;
}

/** A flow ended without completing. */
export class FlowError extends Error {
  override readonly name: string = "FlowError";
  /** The flow's id. */
  readonly flow: string;
  readonly verdict: Verdict;
  /** Why jobs panicked, the cause first. */
  readonly failures: readonly Failure[];
  /** Why the flow was cancelled. */
  readonly reason: string | undefined;
  /** Why the flow was rejected. */
  readonly problems: readonly Problem[];

  constructor(
    /** The flow's status at its end. */
    readonly flowStatus: FlowStatus,
    verdict: Exclude<Verdict, "flow.completed">,
    options?: ErrorOptions,
  ) {
    super(describe(flowStatus, verdict), options);
    this.flow = flowStatus.flow;
    this.verdict = verdict;
    this.failures = flowStatus.failures ?? [];
    this.reason = flowStatus.reason;
    this.problems = flowStatus.problems ?? [];
  }
}

function describe(s: FlowStatus, verdict: Verdict): string {
  switch (verdict) {
    case "flow.panic": {
      const cause = s.failures?.[0];
      return `flow ${s.flow} panicked${cause ? `: ${cause.job ?? "the flow"}: ${cause.message}` : ""}`;
    }
    case "flow.cancelled":
      return `flow ${s.flow} was cancelled${s.reason ? `: ${s.reason}` : ""}`;
    default:
      return [`flow ${s.flow} was rejected`, ...(s.problems ?? []).map(line)].join("\n  ");
  }
}
