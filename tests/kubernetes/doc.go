// Package kubernetes tests the cluster of package cluster: that a pod on it lives and dies as on any
// other. Its tests run inside, by make kubernetes.
package kubernetes
