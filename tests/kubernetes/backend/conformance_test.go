//go:build kubernetes

package backend

import (
	"testing"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/tests/kubernetes/cluster"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Harness{
		Place: func(t *testing.T) backendtest.Place {
			p := newPlace(t)
			return backendtest.Place{
				Open:       func(t *testing.T) backend.Backend { return p.open(t) },
				Document:   runnable(),
				Unrunnable: progdef.Document{Image: cluster.Registry + "/no/such:image"},
				Remains:    p.remains,
			}
		},
		Listen:     listen,
		OneSIGTERM: true,
		Unhurried:  true,
		OneLog:     true,
		Restarts:   true,
	})
}
