package docker

import (
	"maps"

	"github.com/dagyo/dagyo/pkg/document"
)

// The labels by which Compose identifies its containers.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeHash    = "com.docker.compose.config-hash"
	composeOneOff  = "com.docker.compose.oneoff"
)

// project is the Compose project of the container, or "" if there is none that can be a place.
func (o own) project() string {
	if name := o.labels[composeProject]; document.ValidName(name) {
		return name
	}
	return ""
}

// compose adds the labels that make an executor look to Compose like a container of `docker compose run` of the
// spawner's service. So `up`, `stop` and `restart` leave executors alone, and `down --remove-orphans` removes
// them, as it must: nothing else would, and their network could not be removed.
func (o own) compose(labels map[string]string) map[string]string {
	if o.labels[composeProject] == "" {
		return labels
	}
	out := map[string]string{composeOneOff: "True"}
	for _, name := range []string{composeProject, composeService, composeHash} {
		out[name] = o.labels[name]
	}
	maps.Copy(out, labels)
	return out
}
