package cli

import (
	"testing"

	"github.com/dagyo/dagyo/pkg/broker"
)

// Executors in containers get the files that the spawner has, where they find them.
func TestAccessOfExecutors(t *testing.T) {
	own := broker.Access{Creds: "/etc/nats/spawner.creds", CA: "/etc/ssl/own.pem"}
	b := backendFlags{name: backendProcess}
	if got, err := b.access(own); err != nil || got != own {
		t.Errorf("processes get %+v, %v", got, err)
	}
	b = backendFlags{name: backendKubernetes}
	if _, err := b.access(own); err == nil {
		t.Error("pods get nothing, and nobody is told")
	}
	if got, err := b.access(broker.Access{}); err != nil || got != (broker.Access{}) {
		t.Errorf("without files: %+v, %v", got, err)
	}
	b.executorKeys = "executors.json"
	if got, err := b.access(own); err != nil || got != (broker.Access{}) {
		t.Errorf("with credentials of their own: %+v, %v", got, err)
	}
	b.executorKeys, b.credentials = "", "nats"
	want := broker.Access{Creds: "/run/dagyo/nats.creds", CA: "/run/dagyo/ca.crt"}
	if got, err := b.access(own); err != nil || got != want {
		t.Errorf("pods get %+v, %v", got, err)
	}
}
