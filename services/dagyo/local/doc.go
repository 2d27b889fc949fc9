// Package local is all of Dagyo in one process: an embedded nats-server, the four services, and
// executors as processes of this machine. `dagyo up` and `dagyo run` stand on it. The services are the
// same as in a cluster, each with a connection of its own; nothing goes past the broker.
//
// # The data directory
//
//	lock        held by the process that runs on the directory
//	nats        the streams
//	executors   the process backend's state
//
// All of it survives a restart. Executors survive even a SIGKILL of this process: they wait for the
// broker to come back on the same port, and the next start on the directory adopts them.
package local
