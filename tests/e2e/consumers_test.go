package e2e

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// The consumers of EVENTS show an operator their owners, and which service lags. Clients have none.
func TestConsumersShowTheirOwners(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t) // everything is running
	user, err := client.Connect(t.Context(), client.Options{URL: s.Server.ClientURL(), Source: "/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	feed, err := user.Follow(t.Context(), client.Start{}, "flow.>")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	await(t, "consumer of each service", func() bool { return len(owners(t, c)) == len(contract.Services()) })
}

// owners returns the services that have consumers of EVENTS.
func owners(t *testing.T, c *harness.Client) map[string]bool {
	t.Helper()
	events, err := c.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	consumers := events.ListConsumers(t.Context())
	services := map[string]bool{}
	for info := range consumers.Info() {
		of := info.Config.Metadata[broker.MetadataService]
		if of == "" || !strings.HasPrefix(info.Name, of+"-") {
			t.Fatalf("consumer %s does not show its owner: %v", info.Name, info.Config.Metadata)
		}
		services[of] = true
	}
	if err := consumers.Err(); err != nil {
		t.Fatal(err)
	}
	return services
}
