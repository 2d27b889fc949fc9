// Package programs tests programs (the SDK's generics, the standard progdefs, commands under the shim) with handmade
// jobs over real edges. It uses an embedded nats-server and executors in this process, but no services, so a test runs
// one program at a time.
package programs
