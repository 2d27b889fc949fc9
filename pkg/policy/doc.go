// Package policy is the admission policy of an installation: which progdefs may be published and run, and the
// environment variables that the operator adds to executors (schemas/policy.json).
//
// The policy is configuration, not part of any folded state: the leading validator applies it when it answers
// progdef.apply and flow.submit, and the spawner when it starts an executor. So two replicas with different versions of
// the file have the same catalogue.
package policy
