// Package aggregator gives every flow its one verdict.
//
// It reads flow.validated, flow.planned, flow.spawned, flow.rejected, flow.cancel, job.*,
// executor.draining and executor.exited, and the signs of life on health.<flow>.<job>, of jobs, and
// client.<flow>.<client>, of clients that are to feed or read a flow. It writes flow.completed, flow.panic and
// flow.cancelled, stops the jobs of flows, answers ask.flow.get and ask.flow.list, and puts ended flows into
// history. Where a flow has wired a node's panic to something, it writes that edge too:
// only it knows of every failure (docs/adr/0011-panic-and-stop-ports.md).
//
// After a flow's first failure the other jobs are stopped, their last words are awaited for a short
// settle time, and the verdict names the first cause first. Silence counts only for the time in which the
// aggregator itself could receive, and a silent job gets more time where an overload was noticed.
package aggregator
