// Package backend tests the spawner's Kubernetes backend in a real cluster: the suite of all backends, what only a
// cluster can do to an executor, the rights that the backend has and needs, and five hundred executors on simulated
// nodes.
package backend
