// Package kubernetes tests the cluster of package cluster: pods behave as on any other cluster. The tests run inside,
// by make kubernetes.
package kubernetes
