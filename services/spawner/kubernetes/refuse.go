package kubernetes

import (
	"errors"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/problem"
)

// refusal turns the API server's error about a Deployment into one about the progdef, with the place of the
// fault in the document. Other errors are unchanged.
func refusal(err error, t template) error {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		return err
	}
	details := status.Status().Details
	if details == nil || len(details.Causes) == 0 {
		return refused("", err.Error(), "")
	}
	cause := details.Causes[0]
	return refused(blame(cause.Field, t), causeWords(cause), "the cluster's API server rejects it")
}

func causeWords(c metav1.StatusCause) string {
	return strings.TrimSuffix(strings.TrimSpace(c.Message), ".") + " (" + c.Field + ")"
}

// blame finds the part of a progdef that a field of its Deployment was made from, or "".
func blame(field string, t template) string {
	rest, ok := strings.CutPrefix(field, "spec.template.spec.")
	if !ok {
		return ""
	}
	tokens := fieldTokens(rest)
	if tokens[0] == "containers" && len(tokens) > 2 {
		tokens = tokens[2:]
	}
	switch tokens[0] {
	case "affinity", "nodeSelector", "tolerations", "priorityClassName", "runtimeClassName":
		return problem.Pointer(append([]string{"machine"}, tokens...)...)
	case "resources", "command":
		return problem.Pointer(tokens...)
	case "image":
		return problem.Pointer("image")
	case "envFrom":
		return problem.Pointer(tokens[:min(2, len(tokens))]...)
	case "env":
		return problem.Pointer("env", envName(tokens, t))
	case "terminationGracePeriodSeconds":
		return problem.Pointer("drain", "gracePeriod")
	}
	return ""
}

// envName finds the name of a variable by its index.
func envName(tokens []string, t template) string {
	if len(tokens) < 2 {
		return ""
	}
	i, err := strconv.Atoi(tokens[1])
	pod, decodeErr := t.decode()
	if err != nil || decodeErr != nil || len(pod.Spec.Containers) == 0 ||
		i < 0 || i >= len(pod.Spec.Containers[0].Env) {
		return tokens[1]
	}
	return pod.Spec.Containers[0].Env[i].Name
}

// fieldTokens splits a path such as a.b[0].c[x.y/z].
func fieldTokens(path string) []string {
	var out []string
	for path != "" {
		var token string
		if path[0] == '[' {
			token, path, _ = strings.Cut(path[1:], "]")
		} else {
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			token, path = path[:end], path[end:]
		}
		path = strings.TrimPrefix(path, ".")
		out = append(out, token)
	}
	return out
}
