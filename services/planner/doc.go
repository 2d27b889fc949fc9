// Package planner provisions every valid flow on the broker, and cleans up after it.
//
// It reads flow.validated, the verdicts, flow.rejected, flow.cleaned, executor.started and
// executor.exited, and release.<flow> from clients that have read all outputs. It writes flow.planned
// (storage for the flow's edges exists and contains the constants), flow.cleaned (what the flow had in
// that storage and in the mailboxes is deleted), or flow.rejected if the broker has no room for the flow.
package planner
