// Package hostile tests what clients may send to services: objects for the data of events, and floods of requests. It runs
// against an embedded NATS server, with single services in the test's process.
package hostile
