package service

import (
	"strings"
	"testing"
)

func TestConfigReportsEverything(t *testing.T) {
	err := Config{}.Validate()
	for _, what := range []string{"workers", "max attempts", "replicas", "events max age"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v does not name %s", err, what)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}
