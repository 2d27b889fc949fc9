// The documents that the gateway reads and answers with. The schemas in the repository define them.

/** What is wrong with a document. */
export interface Problem {
  /** A stable code, such as `unknown-progdef`. */
  code: string;
  /** A JSON pointer into the document. */
  pointer: string;
  message: string;
  /** What to do about it. */
  hint?: string;
}

/** A record in a document: text, or any bytes. */
export type Value = string | { base64: string };

/** A flow document. */
export interface FlowDocument {
  nodes?: Record<string, FlowNode>;
  edges?: { from: string; to: string }[];
  /** The flow's own inputs, each with the port that reads it: `node.port`. */
  inputs?: Record<string, string>;
  /** The flow's own outputs, each with the port that writes it: `node.port`. */
  outputs?: Record<string, string>;
  /** A duration such as `10m`. */
  deadline?: string;
  priority?: number;
}

export type FlowNode =
  | { progdef: string; with?: Record<string, Value[]>; types?: Record<string, string> }
  | { const: { type: string; values: Value[] } };

/** The type of the event that ends a flow. */
export type Verdict = "flow.completed" | "flow.panic" | "flow.cancelled" | "flow.rejected";

export interface Count {
  records?: number;
  bytes?: number;
}

export interface JobStatus {
  progdef: string;
  revision: string;
  state: "waiting" | "running" | "done" | "stopped" | "panicked";
  executor?: string;
  inputs?: Record<string, Count>;
  outputs?: Record<string, Count>;
}

/** Why a job, or the flow itself, panicked. */
export interface Failure {
  /** Absent if the flow itself panicked, such as at its deadline. */
  job?: string;
  progdef?: string;
  executor?: string;
  kind: string;
  message: string;
  port?: string;
  /** The number of the record, from 0. */
  record?: number;
  /** A stack trace, or the end of standard error. */
  detail?: string;
}

export interface EdgeCount {
  from: string;
  to: string;
  sent?: Count;
  received?: Count;
  closedEarly?: boolean;
  unread?: number;
  /** The used part of the window, in percent. */
  fill?: number;
  waits?: "reader" | "writer";
}

export interface FlowStatus {
  flow: string;
  phase: string;
  verdict?: Verdict;
  document?: string;
  owner?: string;
  submitted: string;
  updated: string;
  deadline?: string;
  duration?: string;
  jobs: Record<string, JobStatus>;
  /** The JetStream stream that stores the edges. Absent until the flow is planned. */
  stream?: string;
  inputs?: Record<string, { type?: string }>;
  outputs?: Record<string, { type?: string }>;
  edges?: EdgeCount[];
  /** The ends of a running flow that wait for a client. */
  waits?: { input?: string; output?: string; unread?: number; attached?: boolean }[];
  /** Set while the flow waits for capacity. */
  queued?: { place: number; shortage?: Shortage[]; behind?: string[] };
  /** Set while no record moves although jobs run. */
  stalled?: { stalled: boolean; since: string; blocking: string[] };
  problems?: Problem[];
  failures?: Failure[];
  cancelledBy?: string;
  reason?: string;
}

/** What a flow in the queue lacks. */
export interface Shortage {
  progdef?: string;
  /** `slots`, `executors`, or a limit of the tenant or user, such as `user-slots`. */
  what: string;
  needed: number;
  free: number;
  held?: number;
  limit: number;
  heldBy?: string[];
  reason?: string;
}

/** A flow in a list. */
export interface FlowLine {
  flow: string;
  phase: string;
  verdict?: Verdict;
  /** The user who submitted it, if that is proven. */
  owner?: string;
  submitted?: string;
  updated?: string;
  duration?: string;
  jobs?: Partial<Record<JobStatus["state"], number>>;
  records?: number;
  place?: number;
  message?: string;
}

/** An event of a flow. */
export interface FlowEvent {
  /** Such as `job.started` or `flow.completed`. */
  type: string;
  subject: string;
  source?: string;
  by?: string;
  time: string;
  /** The number of the event in EVENTS. */
  seq: number;
  data?: unknown;
}

export interface Port {
  type: string;
  description?: string;
}

export interface Progdef {
  name: string;
  description?: string;
  typeParams?: string[];
  inputs?: Record<string, string | Port>;
  outputs?: Record<string, string | Port>;
  image?: string;
  command?: string[];
  /** A flow with open ends in place of a program. */
  flow?: Omit<FlowDocument, "deadline" | "priority">;
  scaling?: { jobsPerExecutor?: number; minExecutors?: number; maxExecutors?: number };
  [field: string]: unknown;
}

/** A progdef in the catalogue. */
export interface Published {
  revision: string;
  document: Progdef & { inputs: Record<string, Port>; outputs: Record<string, Port> };
  by?: string;
  at?: string;
}

/** The executors and slots of a revision of a progdef. */
export interface Capacity {
  progdef: string;
  revision: string;
  current: boolean;
  executors: number;
  draining: number;
  running: number;
  waiting: number;
  failed?: number;
  reason?: string;
  retry?: string;
}

/** What flows hold and wait for. */
export interface Holding {
  /** Flows that run. */
  flows: number;
  /** Flows that wait for capacity. */
  waiting: number;
  slots: number;
  /** The executors that the slots fill. */
  executors: number;
}

/** What the tenant and its users hold. What is missing in limits is not limited. */
export interface Usage {
  executors: number;
  executorLimit: number;
  tenant: Holding;
  tenantLimits: Partial<Holding>;
  /** Users with flows that run or wait; "" for flows whose user is not proven. */
  users: ({ user: string } & Holding)[];
  /** How many more users there are. */
  omitted?: number;
  userLimits: Partial<Holding>;
}

export interface TypeLine {
  name: string;
  typename: string;
  summary: string;
  builtin?: boolean;
}

/** The documentation of a type. */
export interface TypeDocument {
  name: string;
  description?: string;
  typeParams?: string[];
  [field: string]: unknown;
}

export interface Validation {
  valid: boolean;
  problems?: Problem[];
  /** The normal form of a valid flow, with all types. */
  flow?: NormalFlow;
}

/** A flow in its normal form. */
export interface NormalFlow {
  nodes: Record<string, NormalNode>;
  /** The nodes of the document that are replaced by the nodes of a flow, and such nodes within these. */
  subflows?: Record<string, Subflow>;
  edges: NormalEdge[];
  deadline?: string;
}

export interface NormalNode {
  progdef: string;
  revision: string;
  /** The subflow that the node is part of. */
  subflow?: string;
}

/** A node that stands for a flow. The ports of its nodes that take the place of its own are "node.port", by port. */
export interface Subflow extends NormalNode {
  types?: Record<string, string>;
  inputs?: Record<string, string>;
  outputs?: Record<string, string>;
}

/** An edge of a valid flow: `from`, `input` or `const` on one side, `to` or `output` on the other. */
export interface NormalEdge {
  from?: string;
  input?: string;
  const?: { node?: string; values?: Value[] };
  to?: string;
  output?: string;
  type?: string;
}

/** Asks which ports a port of a flow, or of the progdef of a new node, can be connected to. */
export type CompatibleQuery = ({ node: string; flow: FlowDocument } | { progdef: string; flow?: FlowDocument }) & {
  port: string;
  /** Needed only if the node has an input and an output with this name. */
  side?: "input" | "output";
  limit?: number;
};

export interface Compatible {
  side: "input" | "output";
  type: string;
  ports: { node?: string; progdef?: string; port: string; declared: string; type: string }[];
  /** The number of ports that are not listed. */
  omitted?: number;
}

/** An event to publish. */
export interface Command {
  type: "flow.submit" | "flow.cancel" | "progdef.apply" | "progdef.remove" | "type.apply";
  /** The name of the flow, progdef or type that it is about. */
  subject: string;
  data: unknown;
  /** Unique among the events of the source: an event is stored once for an id. Default: a new one. */
  id?: string;
  source?: string;
}

/** A line that a job has logged, or how many are missing at its place. */
export interface LogLine {
  time: string;
  job: string;
  /** `stderr` or `log`. */
  stream?: string;
  level?: string;
  text?: string;
  dropped?: number;
}

/** A look at an edge: some records that passed. */
export interface Sample {
  /** Their typename. */
  type: string;
  /** The first bytes of each in Base64, and its size. */
  records: { base64: string; size: number }[];
  /** Complete records of the look that are left out. */
  more?: number;
  /** How many frames were looked at: 0 if nothing passed. */
  frames: number;
}

/** Where the verdicts of flows are sent, and which ones. */
export interface Webhook {
  name: string;
  /** Everybody in the tenant can read it. */
  url: string;
  /** Default: all but `flow.rejected`. */
  events?: Verdict[];
  /** Only flows with a job of one of these progdefs. */
  progdefs?: string[];
  /** Only flows that one of these users has submitted. */
  users?: string[];
}

/** A webhook that has been applied. */
export interface WebhookApplied {
  name: string;
  document: Webhook;
  /** The public key that verifies its deliveries: `whpk_` and Base64. */
  key: string;
  by?: string;
}

/** A webhook, and what became of its deliveries. */
export interface WebhookStatus {
  document: Webhook;
  /** The public keys of its signatures, the newest first. One that was replaced is used `until` a time. */
  keys: { key: string; until?: string }[];
  by?: string;
  at: string;
  /** Why it was switched off. Absent if it is on. */
  disabled?: string;
  /** How many events were delivered. */
  delivered: number;
  /** How many attempts failed. */
  failed: number;
  /** How many events are not tried again. */
  givenUp: number;
  /** How many events are still to be delivered, also those that its filters leave out. Only of `webhook`, not of `webhooks`. */
  pending?: number;
  lastDelivery?: WebhookAttempt;
  lastFailure?: WebhookAttempt;
}

/** An attempt to deliver an event. */
export interface WebhookAttempt {
  flow: string;
  event: string;
  at: string;
  /** Its number, from 1. */
  attempt?: number;
  /** The HTTP status. Absent if there was no answer. */
  status?: number;
  error?: string;
}

/** How the receiver of a webhook answered a test. */
export interface WebhookTested {
  name: string;
  /** Whether the status was 2xx. */
  delivered: boolean;
  /** The HTTP status. Absent if there was no answer. */
  status?: number;
  error?: string;
  /** A duration such as `12ms`. */
  took: string;
  by?: string;
}

/** The new key of a webhook. Deliveries are signed with the previous one, too, until a time. */
export interface WebhookRotated {
  name: string;
  key: string;
  until: string;
  by?: string;
}

export interface Session {
  user: string;
  role?: string;
  expires?: string;
  own?: boolean;
  /** Whether it is the session of somebody who has signed in with a provider. */
  signedIn?: boolean;
  /** The name of the personal token. */
  token?: string;
}
