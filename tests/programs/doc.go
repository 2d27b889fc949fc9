// Package programs runs programs (the SDK's generics, the standard progdefs, commands under the shim) on
// jobs made by hand, over real edges: an embedded nats-server and executors in this process, but no
// services, so that a test sees one program at a time.
package programs
