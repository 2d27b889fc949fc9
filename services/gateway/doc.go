// Package gateway is the door for people and programs without NATS: an HTTP API, with streams in and out, so that curl
// alone runs a flow.
//
// It has no rights of its own. A request carries the credentials of its user, and is made with a connection to NATS that
// has these credentials, so that NATS decides what it may do. On the loopback interface of a laptop, requests with a token
// from a file of the user who started Dagyo are those of that user. With [SignIn], it may issue credentials of some roles to
// persons who sign in with a provider, and nothing else.
package gateway
