// Package planner gives every valid flow its place on the broker, and takes it back.
//
// It reads flow.validated, the verdicts, flow.rejected, flow.cleaned, executor.started and
// executor.exited, and release.<flow> from clients that have read all outputs. It writes flow.planned
// (the flow's stream exists, constants are in it) and flow.cleaned (the stream and what was left on
// the mailboxes are gone), or flow.rejected where the broker may not bear another flow.
package planner
