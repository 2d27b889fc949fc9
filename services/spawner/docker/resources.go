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

// The resources that Docker supports. All others are devices of a vendor.
const (
	cpu     = "cpu"
	memory  = "memory"
	storage = "ephemeral-storage"
	gpu     = "nvidia.com/gpu"
)

// Docker's minimum amounts.
var (
	minCPU    = resource.MustParse("10m")
	minMemory = resource.MustParse("6Mi")
)

// sharesPerCPU is the weight of one CPU in Docker and Kubernetes.
const sharesPerCPU = 1024

// quantities are amounts by resource name.
type quantities map[string]resource.Quantity

// needs are the resources of a progdef in Docker's terms.
type needs struct {
	container.Resources
	// tmp is the size of /tmp in bytes; 0 if the progdef does not set it.
	tmp int64
}

// translate converts resources to Docker's terms, for a host with cpus CPUs. If Docker cannot provide them, the
// error is a *backend.StartError.
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

// parse reads the quantities of one kind, and rejects those that Docker cannot provide.
func parse(kind string, texts map[string]string) (quantities, error) {
	out := quantities{}
	for _, of := range slices.Sorted(maps.Keys(texts)) {
		q, err := resource.ParseQuantity(texts[of])
		if err != nil {
			return nil, refuse(fmt.Sprintf("%q is not a quantity", texts[of]),
				`write it like Kubernetes, such as "100m" or "64Mi"`, "resources", kind, of)
		}
		if message, hint := unfit(of, q); message != "" {
			return nil, refuse(message, hint, "resources", kind, of)
		}
		out[of] = q
	}
	return out, nil
}

// unfit explains why Docker cannot provide an amount, and what to do; "" if it can.
func unfit(of string, q resource.Quantity) (message, hint string) {
	switch {
	case of == cpu && q.Cmp(minCPU) < 0:
		return fmt.Sprintf("Docker allocates CPUs in hundredths; %s is less than that", &q),
			"request " + minCPU.String() + " or more"
	case of == memory && q.Cmp(minMemory) < 0:
		return fmt.Sprintf("the minimum memory in Docker is %s, not %s", &minMemory, &q),
			"request " + minMemory.String() + " or more"
	case of == gpu && (q.Sign() < 0 || q.CmpInt64(math.MaxInt16) > 0 || q.MilliValue()%1000 != 0):
		return fmt.Sprintf("GPUs are allocated whole, not as %s", &q), "request a whole number"
	case of == cpu || of == memory || of == storage || of == gpu:
		return "", ""
	}
	return fmt.Sprintf("the Docker backend does not support the resource %q", of), fmt.Sprintf(
		"it supports %s, %s, %s and %s; use the Kubernetes backend for others", cpu, memory, storage, gpu)
}

// consistent checks requests against the limits, as Kubernetes does.
func consistent(requests, limits quantities) error {
	for _, of := range slices.Sorted(maps.Keys(requests)) {
		request, limit := requests[of], limits[of]
		_, limited := limits[of]
		switch {
		case of == gpu && (!limited || request.Cmp(limit) != 0):
			return refuse("GPUs are not shared, so the request must equal the limit",
				"set the number in limits only", "resources", "requests", of)
		case limited && request.Cmp(limit) > 0:
			return refuse(fmt.Sprintf("the request %s exceeds the limit %s", &request, &limit),
				"lower the request or raise the limit", "resources", "requests", of)
		}
	}
	return nil
}

// nanoCPUs is the limit in billionths of a CPU; 0 means none. Docker rejects more than the host has, which would
// not limit anything.
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

// shares is the weight of the executor if CPU time is scarce; 0 is Docker's default.
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

// octets returns a quantity in bytes, or 0 if there is none.
func octets(of quantities, name string) int64 {
	q := of[name]
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return math.MaxInt64
	}
	return q.Value()
}

// devices requests GPUs; Docker assigns the first ones.
func devices(limits quantities) []container.DeviceRequest {
	q := limits[gpu]
	if q.IsZero() {
		return nil
	}
	return []container.DeviceRequest{{Count: int(q.Value()), Capabilities: [][]string{{"gpu"}}}}
}
