// Package spawner grants capacity to flows and manages their executors.
//
// It reads flow.validated, flow.planned, the verdicts, flow.rejected, flow.cleaned, job.*, executor.*, progdef.applied
// and progdef.removed. It writes flow.queued, flow.spawned (the flow's jobs are on their mailboxes), flow.rejected for
// flows that can never run, have waited for too long or find the queue full, executor.started, executor.draining and
// executor.exited.
//
// A flow is granted slots for all its jobs or for none; package admission decides which flow is next. The queue depends
// on EVENTS only, so every replica has the same. Executors are long-lived and shared by flows; a backend runs them.
package spawner
