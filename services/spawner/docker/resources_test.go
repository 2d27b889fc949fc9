package docker

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

type amounts = map[string]string

func TestTranslate(t *testing.T) {
	gpus := func(n int) []container.DeviceRequest {
		return []container.DeviceRequest{{Count: n, Capabilities: [][]string{{"gpu"}}}}
	}
	for name, c := range map[string]struct {
		requests, limits amounts
		want             container.Resources
		tmp              int64
	}{
		"nothing": {},
		"limits": {nil, amounts{"cpu": "1500m", "memory": "64Mi", "nvidia.com/gpu": "2", "ephemeral-storage": "1Gi"},
			container.Resources{NanoCPUs: 15e8, Memory: 64 << 20, MemorySwap: 64 << 20, DeviceRequests: gpus(2)}, 1 << 30},
		"requests": {amounts{"cpu": "100m", "memory": "64M", "ephemeral-storage": "1Gi"}, nil,
			container.Resources{CPUShares: 102, MemoryReservation: 64e6}, 0},
		"both": {amounts{"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
			amounts{"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1.0"},
			container.Resources{
				NanoCPUs: 2e9, CPUShares: 2048, Memory: 1 << 30, MemorySwap: 1 << 30,
				MemoryReservation: 1 << 30, DeviceRequests: gpus(1),
			}, 0},
		"no GPU":                        {nil, amounts{"nvidia.com/gpu": "0"}, container.Resources{}, 0},
		"more CPUs than the host has":   {nil, amounts{"cpu": "1E"}, container.Resources{NanoCPUs: 4e9}, 0},
		"a great share":                 {amounts{"cpu": "1E"}, nil, container.Resources{CPUShares: 1 << 18}, 0},
		"fractions of a byte":           {nil, amounts{"memory": "6291456.5"}, container.Resources{Memory: 6291457, MemorySwap: 6291457}, 0},
		"more memory than the host has": {nil, amounts{"memory": "16E"}, container.Resources{Memory: math.MaxInt64, MemorySwap: math.MaxInt64}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := translate(progdef.Resources{Requests: c.requests, Limits: c.limits}, 4)
			if err != nil {
				t.Fatal(err)
			}
			if want := (needs{Resources: c.want, tmp: c.tmp}); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestTranslateRejects(t *testing.T) {
	for name, c := range map[string]struct {
		requests, limits amounts
		pointer, message string
	}{
		"no quantity":   {nil, amounts{"cpu": "much"}, "/resources/limits/cpu", `"much" is not a quantity`},
		"too little":    {nil, amounts{"memory": "4Mi"}, "/resources/limits/memory", "minimum memory in Docker is 6Mi"},
		"too slow":      {amounts{"cpu": "1m"}, nil, "/resources/requests/cpu", "1m is less than that"},
		"half a GPU":    {nil, amounts{"nvidia.com/gpu": "500m"}, "/resources/limits/nvidia.com~1gpu", "whole"},
		"too many GPUs": {nil, amounts{"nvidia.com/gpu": "16E"}, "/resources/limits/nvidia.com~1gpu", "whole"},
		"a shared GPU": {amounts{"nvidia.com/gpu": "1"}, nil, "/resources/requests/nvidia.com~1gpu",
			"must equal the limit"},
		"another vendor": {nil, amounts{"amd.com/gpu": "1"}, "/resources/limits/amd.com~1gpu", `"amd.com/gpu"`},
		"above the limit": {amounts{"memory": "1Gi"}, amounts{"memory": "1000Mi"}, "/resources/requests/memory",
			"the request 1Gi exceeds the limit 1000Mi"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := translate(progdef.Resources{Requests: c.requests, Limits: c.limits}, 4)
			wantRefusal(t, err, c.pointer, c.message)
		})
	}
}

// wantRefusal checks that an error is a *backend.StartError with the expected pointer and message.
func wantRefusal(t *testing.T, err error, pointer, message string) {
	t.Helper()
	var refusal *backend.StartError
	if !errors.As(err, &refusal) {
		t.Fatalf("error is %v, want a StartError", err)
	}
	p := refusal.Problem
	if p.Pointer != pointer || !strings.Contains(p.Message, message) || p.Hint == "" {
		t.Errorf("problem is %s, want one at %s with %q and a hint", p, pointer, message)
	}
}
