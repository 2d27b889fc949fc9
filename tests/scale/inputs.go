package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Costs are what the bench has measured: CPU times in seconds, sizes in bytes. A flow is source → greet → void_sink.
type Costs struct {
	// Began is when the bench was run.
	Began time.Time
	// EventsServer is the CPU time of a flow in the server that leads EVENTS, OtherServer in each of the two others.
	EventsServer, OtherServer float64
	// Services are the CPU times of a flow in the services.
	Services []Service
	// WriteRate is how many messages per second one stream with three replicas has stored.
	WriteRate float64
	// SamePerGB is the CPU time of one server for a GB of frames between two of its clients, RoutePerGB that of two
	// servers together if the clients are connected to different ones.
	SamePerGB, RoutePerGB float64
	// Live flows that do nothing: CPU time for each second, and memory.
	IdleServers, MemoryServer float64
	// EventBytes and JobBytes are the bytes of a flow in EVENTS and JOBS, Published those of all messages.
	EventBytes, JobBytes, Published float64
	// Events and Jobs are the messages of a flow in these streams.
	Events, Jobs float64
}

// A Service is the costs of a service.
type Service struct {
	Name string
	// Leader and Follower are the CPU times of a flow.
	Leader, Follower float64
	// Idle is the CPU time of the leader for each second of a live flow that does nothing, Memory its memory.
	Idle, Memory float64
}

// serial is the share of a leader's CPU time spent in the one goroutine that reads, decodes and folds events, or with
// the lock on the state that it needs for that (profiles, docs/scale.md).
var serial = map[string]float64{"validator": 0.30, "planner": 0.48, "spawner": 0.61, "panic-aggregator": 0.61}

func serviceNames() []string { return []string{"validator", "planner", "spawner", "panic-aggregator"} }

// A Machine is what is assumed of a machine. Each server and each replica of a service has its own.
type Machine struct {
	Name                        string
	ServerCores, ServiceCores   int
	ServerMemory, ServiceMemory float64 // for flows, in bytes
	ServerDisk, Network         float64 // bytes per second, Network out of each server
}

func machines() []Machine {
	return []Machine{
		{"Small machines: 2 cores, 1 Gbit/s", 2, 2, 4e9, 1e9, 100e6, 125e6},
		{"Large machines: 8 cores for a server, 4 for a service, 10 Gbit/s", 8, 4, 16e9, 4e9, 500e6, 1250e6},
	}
}

// hop is the assumed time of a message between two machines, with the wake-up of its receiver.
const hop = 100e-6

// fullWindow is the memory that an edge takes in one server when its reader is absent: the default window and what
// nats-server adds (docs/bench/2026-11-30-shards.md).
const fullWindow = 8.5 * (1 << 20)

// readCosts reads the results of the bench.
func readCosts(raw []byte) (c Costs, err error) {
	var page struct {
		Began   time.Time `json:"began"`
		Figures []struct {
			Rounds []map[string]float64 `json:"rounds"`
		} `json:"figures"`
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return c, err
	}
	all := make(map[string][]float64)
	for _, f := range page.Figures {
		for _, round := range f.Rounds {
			for series, v := range round {
				all[series] = append(all[series], v)
			}
		}
	}
	get := func(series string) float64 {
		if len(all[series]) == 0 {
			err = fmt.Errorf("no values of %q", series)
			return 0
		}
		return median(all[series])
	}
	c = Costs{
		Began:        page.Began,
		EventsServer: get("r3 events server"), OtherServer: get("r3 other server"), WriteRate: get("w3 rate"),
		SamePerGB: get("same cpu"), RoutePerGB: get("route cpu"),
		IdleServers: max(0, get("r3 idle servers")), MemoryServer: get("r3 memory servers") / 3,
		Events: get("one messages EVENTS"), Jobs: get("one messages jobs"),
		EventBytes: get("one bytes EVENTS"), JobBytes: get("one bytes jobs"),
	}
	for _, class := range []string{"EVENTS", "events", "jobs", "edges", "direct", "_INBOX", "$JS"} {
		c.Published += get("one bytes " + class)
	}
	for _, name := range serviceNames() {
		c.Services = append(c.Services, Service{
			Name: name, Leader: get("r3 " + name), Follower: get("r3 " + name + " follower"),
			Idle: max(0, get("r3 idle "+name)), Memory: get("r3 memory " + name),
		})
	}
	return c, err
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
