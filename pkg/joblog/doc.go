// Package joblog is the form of what jobs log, and where it is kept (ADR 34). An executor publishes batches of lines on
// log.<flow>.<job>.by.<executor>; the stream LOGS keeps the last batches of each job, until they are too old or too many.
package joblog
