package harness

import (
	"slices"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

func without(list []backend.Status, executor string) []backend.Status {
	return slices.DeleteFunc(list, func(x backend.Status) bool { return x.Executor == executor })
}
