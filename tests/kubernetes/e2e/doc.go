// Package e2e runs flows on real pods: Dagyo is installed with `kubectl apply -k deploy/kubernetes` in the
// cluster of tests/kubernetes, and used from outside like its users do.
package e2e
