package harness

import (
	"errors"
	"slices"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

func errorsJoin(errs ...error) error { return errors.Join(errs...) }

func without(list []backend.Instance, executor string) []backend.Instance {
	return slices.DeleteFunc(list, func(x backend.Instance) bool { return x.Executor == executor })
}
