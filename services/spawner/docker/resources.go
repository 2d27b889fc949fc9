package docker

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/moby/moby/api/types/container"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/dagyo/dagyo/pkg/progdef"
)

// The resources that Docker knows. The rest are devices of a vendor.
const (
	cpu     = "cpu"
	memory  = "memory"
	storage = "ephemeral-storage"
	gpu     = "nvidia.com/gpu"
)

// What Docker takes at least.
var (
	minCPU    = resource.MustParse("10m")
	minMemory = resource.MustParse("6Mi")
)

// sharesPerCPU is the weight that Docker and Kubernetes give to one CPU.
const sharesPerCPU = 1024

// quantities are amounts by resource name.
type quantities map[string]resource.Quantity

// needs is what a progdef asks of the machine, in Docker's terms.
type needs struct {
	container.Resources
	// tmp is the size of /tmp in octets; 0 when the progdef does not say.
	tmp int64
}

// translate puts resources in Docker's terms, for a host that has cpus CPUs. What Docker cannot do
// is a *backend.StartError.
func translate(r progdef.Resources, cpus int) (needs, error) {
	limits, err := parse("limits", r.Limits)
	if err != nil {
		return needs{}, err
	}
	requests, err := parse("requests", r.Requests)
	if err != nil {
		return needs{}, err
	}
	if err := consistent(requests, limits); err != nil {
		return needs{}, err
	}
	return needs{
		Resources: container.Resources{
			NanoCPUs:          nanoCPUs(limits, cpus),
			CPUShares:         shares(requests),
			Memory:            octets(limits, memory),
			MemorySwap:        octets(limits, memory), // memory and swap together
			MemoryReservation: octets(requests, memory),
			DeviceRequests:    devices(limits),
		},
		tmp: octets(limits, storage),
	}, nil
}

// parse reads the quantities of one kind, and refuses those that cannot be had from Docker.
func parse(kind string, texts map[string]string) (quantities, error) {
	out := quantities{}
	for _, of := range slices.Sorted(maps.Keys(texts)) {
		q, err := resource.ParseQuantity(texts[of])
		if err != nil {
			return nil, refuse(fmt.Sprintf("%q is not a quantity", texts[of]),
				`write it as Kubernetes does, such as "100m" or "64Mi"`, "resources", kind, of)
		}
		if message, hint := unfit(of, q); message != "" {
			return nil, refuse(message, hint, "resources", kind, of)
		}
		out[of] = q
	}
	return out, nil
}

// unfit says why an amount cannot be had from Docker, and what to do; "" when it can.
func unfit(of string, q resource.Quantity) (message, hint string) {
	switch {
	case of == cpu && q.Cmp(minCPU) < 0:
		return fmt.Sprintf("Docker counts CPUs in hundredths, and %s is less than one", &q),
			"ask for " + minCPU.String() + " or more"
	case of == memory && q.Cmp(minMemory) < 0:
		return fmt.Sprintf("Docker gives no less memory than %s, and this is %s", &minMemory, &q),
			"ask for " + minMemory.String() + " or more"
	case of == gpu && (q.Sign() < 0 || q.CmpInt64(math.MaxInt16) > 0 || q.MilliValue()%1000 != 0):
		return fmt.Sprintf("GPUs are given whole, and this is %s", &q), "ask for a whole number"
	case of == cpu || of == memory || of == storage || of == gpu:
		return "", ""
	}
	return fmt.Sprintf("the Docker backend cannot give the resource %q", of), fmt.Sprintf(
		"it gives %s, %s, %s and %s; use the Kubernetes backend for others", cpu, memory, storage, gpu)
}

// consistent holds requests to the limits, as Kubernetes does.
func consistent(requests, limits quantities) error {
	for _, of := range slices.Sorted(maps.Keys(requests)) {
		request, limit := requests[of], limits[of]
		_, limited := limits[of]
		switch {
		case of == gpu && (!limited || request.Cmp(limit) != 0):
			return refuse("GPUs are not shared, so what is requested must be the limit",
				"write the number in limits only", "resources", "requests", of)
		case limited && request.Cmp(limit) > 0:
			return refuse(fmt.Sprintf("the request, %s, is above the limit, %s", &request, &limit),
				"lower the request or raise the limit", "resources", "requests", of)
		}
	}
	return nil
}

// nanoCPUs is the limit in billionths of a CPU; 0 is none. Docker refuses more than there are, which
// limits nothing.
func nanoCPUs(limits quantities, cpus int) int64 {
	q, ok := limits[cpu]
	switch {
	case !ok:
		return 0
	case q.CmpInt64(int64(cpus)) >= 0:
		return int64(cpus) * 1e9
	}
	return q.ScaledValue(resource.Nano)
}

// shares is the weight of the executor where CPU time is short; 0 is Docker's default.
func shares(requests quantities) int64 {
	const most = 1 << 18 // the kernel's
	q, ok := requests[cpu]
	switch {
	case !ok:
		return 0
	case q.CmpInt64(most/sharesPerCPU) >= 0:
		return most
	}
	return q.MilliValue() * sharesPerCPU / 1000
}

// octets returns a quantity of octets, 0 where there is none.
func octets(of quantities, name string) int64 {
	q := of[name]
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return math.MaxInt64
	}
	return q.Value()
}

// devices asks for GPUs, of which Docker gives the first.
func devices(limits quantities) []container.DeviceRequest {
	q := limits[gpu]
	if q.IsZero() {
		return nil
	}
	return []container.DeviceRequest{{Count: int(q.Value()), Capabilities: [][]string{{"gpu"}}}}
}
