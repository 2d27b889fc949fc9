package harness

import (
	"os"
	"slices"
	"testing"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

func without(list []backend.Status, executor string) []backend.Status {
	return slices.DeleteFunc(list, func(x backend.Status) bool { return x.Executor == executor })
}

// SharedFolder creates a folder for files of executors, which may have users of their own.
func SharedFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}
