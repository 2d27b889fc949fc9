package docker

import (
	"maps"
	"testing"
)

func TestExecutorsBelongToTheComposeProject(t *testing.T) {
	spawner := own{labels: map[string]string{
		composeProject: "shop", composeService: "spawner", composeHash: "1a", composeOneOff: "False",
		"com.docker.compose.container-number": "1",
	}}
	want := map[string]string{
		composeProject: "shop", composeService: "spawner", composeHash: "1a", composeOneOff: "True", "mine": "1",
	}
	if got := spawner.compose(map[string]string{"mine": "1"}); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := spawner.project(); got != "shop" {
		t.Errorf("the place is %q", got)
	}
	if got := (own{}).compose(nil); len(got) != 0 {
		t.Errorf("outside of Compose: got %v", got)
	}
	if got := (own{labels: map[string]string{composeProject: "no.name"}}).project(); got != "" {
		t.Errorf("got the place %q", got)
	}
}
