package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// fieldManager owns the fields that the Backend applies.
const fieldManager = "dagyo-spawner"

// Labels and annotations. The ids of executors, places and the names of progdefs are valid values of labels.
const (
	labelApp      = "app.kubernetes.io/name"
	labelManager  = "app.kubernetes.io/managed-by"
	labelSet      = "app.kubernetes.io/instance" // the name of the book and of the Deployment
	labelPlace    = "dagyo.dev/place"
	labelProgdef  = "dagyo.dev/progdef"
	labelRevision = "dagyo.dev/revision"
	labelExecutor = "dagyo.dev/executor"
	labelBusy     = "dagyo.dev/busy"

	// annotationTemplate, on a Deployment and its pods, is the template that they were made from.
	annotationTemplate = "dagyo.dev/template"
	annotationEvict    = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	annotationCost     = "controller.kubernetes.io/pod-deletion-cost"

	// gate keeps a pod from being scheduled until it is assigned to an executor.
	gate = "dagyo.dev/executor"
	// container is the name of a pod's only container.
	container = "executor"
)

const (
	appExecutor = "dagyo-executor"
	manager     = fieldManager
)

// setName names the book and the Deployment of a revision: readable, and unique through a hash. It is short
// enough to be a complete prefix of the names of ReplicaSets and pods.
func setName(place, progdef, revision string) string {
	const longest = 24
	sum := sha256.Sum256([]byte(place + "/" + progdef + "/" + revision))
	head := strings.ReplaceAll(progdef[:min(len(progdef), longest)], "_", "-")
	return "dagyo-" + strings.TrimRight(head, "-") + "-" + hex.EncodeToString(sum[:6])
}

var setNames = regexp.MustCompile(`^dagyo-.*-[0-9a-f]{12}$`)

// isSetName reports whether a name could be that of a revision's objects.
func isSetName(name string) bool { return setNames.MatchString(name) }

// budgetName names the PodDisruptionBudget of a place.
func budgetName(place string) string { return "dagyo-busy-" + labelText(place) }

// labelText turns the name of a place into a part of a name, unique through a hash.
func labelText(place string) string {
	sum := sha256.Sum256([]byte(place))
	head := strings.ReplaceAll(place[:min(len(place), 40)], "_", "-")
	return strings.TrimRight(head, "-") + "-" + hex.EncodeToString(sum[:4])
}

// placeLabels are on everything that the Backend creates on a place.
func placeLabels(place string) map[string]string {
	return map[string]string{labelApp: appExecutor, labelManager: manager, labelPlace: place}
}
