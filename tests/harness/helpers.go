package harness

import (
	"slices"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

func without(list []backend.Instance, executor string) []backend.Instance {
	return slices.DeleteFunc(list, func(x backend.Instance) bool { return x.Executor == executor })
}
