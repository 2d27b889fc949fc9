// Package kubernetes runs executors as pods of a cluster.
//
// # What is in the cluster
//
// Each revision of a progdef has two objects of one name in Config.Namespace, as long as it has executors
// that were not forgotten:
//
//   - a ConfigMap, its book: which executors there shall be, which pod each was given, and the exits
//     that nobody has heard of yet. The book alone says what is wanted; it is written with the resource
//     version that it was read with, so that several Backends can share a place.
//   - a Deployment, made from the book by server-side apply. It has as many replicas as there are
//     executors, and makes the pods.
//
// The book is not kept on the Deployment itself: the Deployment controller would copy it to each
// ReplicaSet, and every change of the status would be a conflict.
//
// # Which pod is which executor
//
// A Deployment's pods are all alike, and an executor has an id. So each pod is made with a scheduling
// gate: no machine is looked for and nothing runs. The Backend first writes into the book which executor
// the pod is given to, and then, in one patch, labels the pod with the id and takes the gate away; the
// program reads the id from the label (DAGYO_EXECUTOR). A pod is given away once, so an id is carried by
// one pod. If that pod is deleted before a machine was found for it, the executor is given another; once it
// has been on a machine it may have run, and its end is the executor's.
//
// # The end of an executor
//
// Deployments start a container again that has ended. The new one finds its name taken at the broker, as
// every executor must, takes no jobs and waits for SIGTERM; meanwhile the end of the first stands in
// the pod's status. The Backend writes it into the book, and deletes the pod.
//
// Whoever deletes a pod (Drain, a user, the drain of a node, a rolling update, a preemption) thereby drains
// its executor: the pod's grace period is the progdef's. To end an executor the Backend deletes the pod
// first, and lowers the replicas when the pod is on its way out. So the ReplicaSet never has to
// choose among running pods; what it takes away, if anything, is a pod that it has made meanwhile, which
// still has its gate.
//
// A template that changes for the same revision (another address of the queue, say) is rolled out by the
// Deployment: executors with the old one drain, those that have no job first.
//
// # What Kubernetes does not do
//
// SIGTERM is sent once. And a kubelet that waits for the end of a container does not heed that the grace
// period was shortened meanwhile, not even a deletion by force (kubernetes/kubernetes#83916). So an
// executor that drains cannot be given up before its grace period is over: choose one that you can bear to
// wait for. One that does not drain yet can.
//
// What a container has written to standard output and standard error is one log; the end of an exit's
// detail comes from both.
//
// # What it needs
//
// Kubernetes 1.30 or newer, and the rights that deploy/kubernetes gives to the spawner. Executors pass the
// restricted pod security standard.
package kubernetes
