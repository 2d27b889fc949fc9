package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// active reports whether a ReplicaSet counts the pod.
func active(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && !over(p)
}

// over reports whether nothing will run in the pod any more.
func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// scheduled reports whether the pod has a machine, so that the program may have run.
func scheduled(p *corev1.Pod) bool { return p.Spec.NodeName != "" }

// gated reports whether the pod still has the Backend's gate.
func gated(p *corev1.Pod) bool { return slices.ContainsFunc(p.Spec.SchedulingGates, isGate) }

func isGate(g corev1.PodSchedulingGate) bool { return g.Name == gate }

// otherGates are the gates that others have set on the pod.
func otherGates(p *corev1.Pod) []corev1.PodSchedulingGate {
	return slices.DeleteFunc(slices.Clone(p.Spec.SchedulingGates), isGate)
}

// status is that of the executor's container; it is empty if there is none.
func status(p *corev1.Pod) corev1.ContainerStatus {
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == container {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

// terminated is the end of the first container that ran, or nil.
func terminated(p *corev1.Pod) *corev1.ContainerStateTerminated {
	s := status(p)
	if s.LastTerminationState.Terminated != nil && s.RestartCount > 0 {
		return s.LastTerminationState.Terminated
	}
	return s.State.Terminated
}

// machineLost reports whether the cluster has not heard from the pod's machine for some time: it then marks the
// pod as not ready, and leaves the machine's status of the containers.
func machineLost(p *corev1.Pod) bool {
	ready := map[corev1.PodConditionType]corev1.ConditionStatus{}
	for _, c := range p.Status.Conditions {
		ready[c.Type] = c.Status
	}
	return ready[corev1.PodReady] == corev1.ConditionFalse && ready[corev1.ContainersReady] == corev1.ConditionTrue
}

// ended returns the exit of a pod's executor once its program has exited or can never run.
func ended(p *corev1.Pod) (backend.Exit, bool) {
	t := terminated(p)
	if t == nil && !over(p) {
		return backend.Exit{}, false
	}
	return describe(p, t), true
}

// vanished returns the exit of an executor whose pod is gone: last is the pod's last known state, or nil if
// it was not observed.
func vanished(last *corev1.Pod) backend.Exit {
	if last == nil {
		return backend.Exit{Code: -1, Reason: "its pod is gone, so its exit status is unknown"}
	}
	if exit, ok := ended(last); ok {
		return exit
	}
	if !scheduled(last) {
		return backend.Exit{Code: -1, Reason: "its pod was deleted before it ran" + disruption(last)}
	}
	return backend.Exit{Code: -1, Reason: fmt.Sprintf("its pod was removed, and its machine %s did not report its exit status%s",
		last.Spec.NodeName, disruption(last))}
}

// lost returns the exit of an executor whose machine does not obey.
func lost(p *corev1.Pod) backend.Exit {
	return backend.Exit{Code: -1, Reason: fmt.Sprintf(
		"its machine %s does not respond: its pod should have been gone by %s%s",
		p.Spec.NodeName, p.DeletionTimestamp.UTC().Format(time.RFC3339), disruption(p))}
}

// describe explains how a program ended; t is nil if its machine does not report it.
func describe(p *corev1.Pod, t *corev1.ContainerStateTerminated) backend.Exit {
	exit := backend.Exit{Code: -1}
	if t != nil && t.Reason != reasonUnknown {
		exit.Code, exit.Signal = exitCode(t.ExitCode)
		exit.Detail = clip(t.Message, contract.DetailLimit)
	}
	switch {
	case p.Status.Reason != "":
		exit.Reason = podReason(p)
	case t == nil || t.Reason == reasonUnknown:
		exit.Reason = "its machine did not report its exit status"
	case t.Reason == "OOMKilled":
		exit.Reason = outOfMemory(p)
	case t.Reason == "StartError" || t.Reason == "ContainerCannotRun":
		exit.Code, exit.Signal = -1, ""
		exit.Reason = "cannot run its command: " + sentence(t.Message)
		exit.Permanent = noSuchCommand(t.Message)
	case exit.Signal == "SIGKILL" && p.DeletionTimestamp != nil:
		exit.Reason = "it was killed: it did not exit when told to"
	default:
		exit.Reason = contract.PlainEnding(exit.Code, exit.Signal)
	}
	exit.Reason += disruption(p)
	return exit
}

// reasonUnknown is the kubelet's reason for a container that it cannot find.
const reasonUnknown = "ContainerStatusUnknown"

// exitCode splits a container runtime's exit code, which is 128 plus the number of the signal for a process
// killed by a signal.
func exitCode(code int32) (int, string) {
	if code > 128 {
		if name := unix.SignalName(unix.Signal(code - 128)); name != "" {
			return -1, name
		}
	}
	return int(code), ""
}

// podReason explains why a machine ended or rejected a pod.
func podReason(p *corev1.Pod) string {
	message := sentence(p.Status.Message)
	switch p.Status.Reason {
	case "Evicted":
		return "its machine evicted it: " + message
	case "NodeShutdown", "Terminated", "Shutdown":
		return "its machine is shutting down: " + message
	case "NodeLost":
		return "its machine is lost: " + message
	}
	return "its machine rejected or ended it: " + p.Status.Reason + ": " + message
}

func outOfMemory(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == container {
			return "it used more memory than its limit of " + limit.String()
		}
	}
	return "its machine ran out of memory; it has no limit of its own"
}

// noSuchCommand reports whether the command cannot be executed in this image.
func noSuchCommand(message string) bool {
	for _, sign := range []string{
		"no such file or directory", "executable file not found", "permission denied",
		"exec format error", "is a directory",
	} {
		if strings.Contains(message, sign) {
			return true
		}
	}
	return false
}

// disruption describes the cause of a pod's deletion, if the cluster reports it.
func disruption(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Message != "" {
			return "; the cluster deleted it: " + sentence(c.Message)
		}
	}
	return ""
}

// A trouble is what keeps an executor from running.
type trouble struct {
	words string
	// advice describes what to change if no executor of the revision can run, once the trouble has lasted for patience;
	// it is "" if the trouble may go away by itself.
	advice   string
	patience time.Duration
}

// Advice for troubles.
const (
	adviceImage   = "check the progdef's image, and whether the cluster may read it from its registry"
	adviceSets    = "check that the Secrets and ConfigMaps of its envFrom are in the executors' namespace"
	adviceCommand = "check the progdef's command and image"
)

// trouble finds what keeps the program of a pod from running.
func (c Config) trouble(p *corev1.Pod) trouble {
	if !scheduled(p) {
		return trouble{words: unscheduled(p)}
	}
	w := status(p).State.Waiting
	if w == nil || terminated(p) != nil {
		return trouble{}
	}
	message := sentence(w.Message)
	switch w.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		return trouble{"its image cannot be used: " + message, adviceImage, 0}
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable",
		"SignatureValidationFailed":
		return trouble{"its image cannot be pulled: " + message, adviceImage, c.PullTimeout}
	case "CreateContainerConfigError", "CreateContainerError":
		return trouble{"its container cannot be created: " + message, adviceSets, c.StartTimeout}
	case "RunContainerError":
		if noSuchCommand(w.Message) {
			return trouble{"cannot run its command: " + message, adviceCommand, 0}
		}
		return trouble{"its container cannot be started: " + message, adviceCommand, c.StartTimeout}
	}
	return trouble{}
}

// unscheduled explains why the pod has no machine, or "" if it was not considered yet.
func unscheduled(p *corev1.Pod) string {
	if gates := otherGates(p); len(gates) > 0 {
		return "its pod is held back by the scheduling gate " + gates[0].Name
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse &&
			c.Reason == corev1.PodReasonUnschedulable {
			return "no machine has room for it: " + sentence(c.Message)
		}
	}
	return ""
}

// exit is the exit of an executor that cannot run.
func (t trouble) exit() backend.Exit {
	return backend.Exit{Code: -1, Permanent: true, Reason: t.words + "; " + t.advice}
}

// digest is that of the image of a pod, or "" if it is unknown. Only images from a registry have a digest that
// is the same on every machine.
func digest(p *corev1.Pod) string {
	_, d, _ := strings.Cut(status(p).ImageID, "@")
	return d
}

// sentence formats a message of the cluster as part of one of ours.
func sentence(message string) string {
	const longest = 512
	message = strings.Join(strings.Fields(message), " ")
	return strings.TrimSuffix(clip(message, longest), ".")
}

// clip keeps the end of a text, as valid UTF-8.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[len(text)-limit:], "")
}
