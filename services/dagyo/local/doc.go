// Package local runs all of Dagyo in one process: an embedded nats-server, the four services, and
// executors as processes on this machine. `dagyo up` and `dagyo run` use it. The services are the same as
// in a cluster, each with its own connection; they communicate through the broker only.
//
// # The data directory
//
//	lock        held by the process that uses the directory
//	address     the address of the server, while it runs
//	keys        the keys, and the tenants
//	nats        the streams, and the accounts
//	executors   the process backend's state; in tenants/ID, that of each tenant but the default one
//
// All of it survives a restart. Executors survive even a SIGKILL of this process: they wait until the
// broker is available again on the same port, and the next start on the directory adopts them.
package local
