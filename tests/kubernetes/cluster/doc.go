// Package cluster runs a real Kubernetes on this machine for tests: etcd, the API server, the
// controller manager, the scheduler, kube-proxy, a kubelet with containerd on one real node, and as
// many simulated nodes as a test wants. Cluster names and an image registry come with it.
//
// All of it lives in network, mount and process namespaces of its own, whose process 1 is this
// package's. Nothing inside can reach beyond the machine, for the network namespace has no way out;
// nothing outside is changed, for what Kubernetes writes to /run, /var and /proc/sys lands in the
// mount namespace; and when process 1 is killed the kernel ends everything else. What remains to be
// removed by [Down] is a directory and a few cgroups.
//
// [Up], [Down] and [Exec] are called from outside. A test is compiled outside and runs inside, by
// Exec; there every address is a constant of this package, for no two clusters share a network.
package cluster

import "path/filepath"

// The addresses inside. A pod reaches what a test listens on at [Address], any port.
const (
	// Address is that of the real node, and of everything that runs beside the pods.
	Address = "10.250.0.1"
	// Registry is where [Push] sends images.
	Registry = Address + ":5000"
	// Domain ends the name of a service: NAME.NAMESPACE.svc.cluster.local.
	Domain = "cluster.local"

	apiServer = "https://" + Address + ":6443"
	etcd      = "http://127.0.0.1:2379"
)

// The nodes. A pod runs on a real node unless it tolerates the taint of the simulated ones.
const (
	// NodeLabel tells real nodes from simulated ones, as a label of each and a taint of the latter.
	NodeLabel = "dagyo.test/node"
	// Real is the label's value on the node with a kubelet, and that node's name.
	Real = "real"
	// Simulated is the label's and the taint's value on nodes that only claim to run pods.
	Simulated = "simulated"
)

// inside is where the state directory is seen inside, so that no file there depends on where it is.
const inside = "/run/cluster"

// Kubeconfig is the administrator's configuration; inside, $KUBECONFIG says the same.
const Kubeconfig = inside + "/admin.kubeconfig"

func path(name ...string) string { return filepath.Join(append([]string{inside}, name...)...) }
