// Package metrics lists what Dagyo measures ([Table]), and passes values to a [Sink], which exports them. It
// has no dependencies. OpenTelemetry is in services/dagyo/monitor only, so that executors and clients do not contain it.
//
// No label may have a value for each flow, executor or user. A value is exported by one replica only, or has the label
// service and is about that replica: the sum over all replicas is right.
package metrics
