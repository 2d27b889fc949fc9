package e2e

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/tests/harness"
)

// The consumers of EVENTS show an operator their owners, and which service lags.
func TestConsumersShowTheirOwners(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t) // everything is running
	user, err := client.Connect(t.Context(), client.Options{URL: s.Server.ClientURL(), Source: "/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	for range 2 { // names of two consumers do not clash
		feed, err := user.Follow(t.Context(), client.Start{}, "flow.>")
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
	}
	events, err := c.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	consumers := events.ListConsumers(t.Context())
	services, feeds := map[string]bool{}, 0
	for info := range consumers.Info() {
		of := info.Config.Metadata[broker.MetadataService]
		switch {
		case strings.HasPrefix(info.Name, "dagyo-client-"):
			feeds++
		case of != "" && strings.HasPrefix(info.Name, of+"-"):
			services[of] = true
		default:
			t.Errorf("consumer %s does not show its owner: %v", info.Name, info.Config.Metadata)
		}
	}
	if err := consumers.Err(); err != nil {
		t.Fatal(err)
	}
	for _, service := range contract.Services() {
		if !services[service] {
			t.Errorf("no consumer of %s", service)
		}
	}
	if feeds != 2 {
		t.Errorf("%d consumers of clients", feeds)
	}
}
