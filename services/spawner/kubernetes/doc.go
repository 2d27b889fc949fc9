// Package kubernetes runs executors as pods of a cluster.
//
// # What is in the cluster
//
// Each revision of a progdef has two objects with the same name in Config.Namespace, as long as it has executors that
// were not forgotten:
//
//   - a ConfigMap, its book: the wanted executors, the pod assigned to each, and their exits. The book is the only
//     record of the wanted state. It is written on the condition that its resource version is unchanged, so several
//     Backends can share a place.
//   - a Deployment, which is derived from the book by server-side apply. It has as many replicas as executors, and
//     creates the pods.
//
// The book is not stored in the Deployment itself: the Deployment controller would copy it to each ReplicaSet, and
// every change of the status would be a conflict.
//
// If executors have credentials of their own, a revision also has a Secret with the same name: see below.
//
// # Assigning pods to executors
//
// The pods of a Deployment are identical, but each executor has an id. So each pod is created with a scheduling gate:
// it is not scheduled, and nothing runs. The Backend first writes the assignment of the pod to an executor into the
// book. Then, in one patch, it labels the pod with the id and removes the gate. The program reads the id from the label
// (DAGYO_EXECUTOR). A pod is assigned once, so an id belongs to one pod. If the pod is deleted before it has a machine,
// the executor gets another one. Once the pod has been on a machine, it may have run, and its end is the executor's
// exit.
//
// # Credentials
//
// The credentials of a revision's executors are in one Secret, by executor: a template has no place for a Secret of each.
// A container sees only its own executor's file, because the mount's path in the volume is the executor's id
// (subPathExpr). They are stored before the executor is in the book, so a pod that is assigned to it finds them, and are
// removed when it is forgotten. The Backend never reads Secrets. Who may read them in the namespace, and the machines on
// which the revision's executors run, have the credentials of all of its executors.
//
// # The end of an executor
//
// A Deployment restarts exited containers. Like every executor, the new program finds its name taken at the broker,
// takes no jobs and waits for SIGTERM. Meanwhile the exit of the first one is in the pod's status. The Backend writes
// it into the book, and deletes the pod.
//
// Deleting a pod drains its executor, whatever the cause (Drain, a user, the drain of a node, a rolling update, a
// preemption): the pod's grace period is the progdef's. To end an executor, the Backend first deletes the pod, and
// lowers the replica count once the deletion has begun. So the ReplicaSet never has to choose among running pods. If it
// removes a pod, that is one that it has created meanwhile, which still has its gate.
//
// If the template of a revision changes (for instance, the address of the queue), the Deployment rolls it out:
// executors with the old template drain, idle ones first.
//
// # Limitations
//
// Credentials cannot be replaced while their executor runs: a file that is mounted by its path in a volume does not follow
// the volume. A Secret holds 1 MiB, which are the credentials of about 800 executors of a revision. A machine that has not
// heard yet of a new executor's credentials, although it already has its pod, starts the program without them; it exits,
// and another executor takes its place.
//
// SIGTERM is sent only once. A kubelet that waits for a container to exit ignores a shortened grace period, and even a
// forced deletion (kubernetes/kubernetes#83916). So a draining executor cannot be given up before the end of its grace
// period: choose a short enough one. An executor that is not draining can be given up.
//
// The standard output and standard error of a container share one log, so an exit's detail contains both.
//
// # Requirements
//
// Kubernetes 1.30 or newer, and the rights that deploy/kubernetes grants to the spawner. Executors meet the restricted
// pod security standard.
package kubernetes
