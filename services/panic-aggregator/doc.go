// Package aggregator publishes the verdict of every flow.
//
// It reads flow.validated, flow.planned, flow.spawned, flow.rejected, flow.cancel, job.*, executor.draining and
// executor.exited, the commands about webhooks, the credits of edges, and the heartbeats of jobs on health.<flow>.<job> and of clients that feed or
// read a flow on client.<flow>.<client>. It writes flow.completed, flow.panic, flow.cancelled, flow.stalled, and the
// answers to commands about webhooks; it stops the jobs of flows, answers ask.flow.get, ask.flow.list and ask.webhook.list,
// stores ended flows in history, and sends verdicts to webhooks (package deliver). If a flow has an edge from a
// node's panic port, it writes that edge: only this service knows of all failures
// (docs/adr/0011-panic-and-stop-ports.md).
//
// After a flow's first failure, it stops the other jobs, waits for their last events for a short settle time, and
// publishes the verdict, first cause first. Silence counts only while the aggregator itself could receive, and a
// silent job gets more time if an overload was detected.
//
// The cost of an event, a heartbeat or a check does not depend on how many flows are live: index.go finds what each is
// about. The indexes are derived from the runs.
package aggregator
