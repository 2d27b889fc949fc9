package main

import (
	"cmp"
	"fmt"
	"slices"
)

// A limit is what one part carries if all others have room: what a flow, a live flow or a GB takes of it, and what it has.
type limit struct {
	part        string
	takes, has  float64
	unit        unit
	description string // of what it has
}

func (l limit) carries() float64 { return l.has / l.takes }

// cpu is the limit of a part whose cores are shared, in seconds of CPU time for each second.
func cpu(part string, takes float64, cores int) limit {
	return limit{part, takes, float64(cores), seconds, plural(cores, "core")}
}

// alone is the limit of a part that does one thing after the other.
func alone(part string, takes float64) limit {
	return limit{part, takes, 1, seconds, "one at a time"}
}

func perSecond(part string, takes, has float64) limit {
	return limit{part, takes, has, size, fmt.Sprintf("%g GB/s", has/1e9)}
}

func memory(part string, takes, has float64) limit {
	return limit{part, takes, has, size, fmt.Sprintf("%g GB", has/1e9)}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// flowLimits are the limits of flows per second, the lowest first.
func flowLimits(c Costs, m Machine) []limit {
	out := []limit{
		cpu("CPU of the events server", c.EventsServer, m.ServerCores),
		cpu("CPU of each other server", c.OtherServer, m.ServerCores),
		alone("writes to EVENTS", perFlow/c.WriteRate),
		perSecond("network, out of the events server", c.sent(), m.Network),
		perSecond("disk of each server", c.EventBytes+c.JobBytes, m.ServerDisk),
	}
	for _, s := range c.Services {
		share := serial[s.Name]
		out = append(out,
			alone(s.Name+": following EVENTS", s.Leader*share),
			cpu(s.Name+": all else", s.Leader*(1-share), m.ServiceCores-1))
	}
	return lowestFirst(out)
}

// sent is what the events server sends for a flow: everything that is published, stored messages twice to the other servers
// and, of EVENTS, to two replicas of each service.
func (c Costs) sent() float64 {
	return c.Published + 2*(c.EventBytes+c.JobBytes) + 2*float64(len(c.Services))*c.EventBytes
}

// liveLimits are the limits of live flows that do nothing.
func liveLimits(c Costs, m Machine) []limit {
	out := []limit{
		memory("memory of each server", c.MemoryServer, m.ServerMemory),
		memory("memory of all servers, one full window for each flow", fullWindow, 3*m.ServerMemory),
		cpu("CPU of all servers, each second", c.IdleServers, 3*m.ServerCores),
	}
	for _, s := range c.Services {
		out = append(out, memory(s.Name+": memory", s.Memory, m.ServiceMemory))
		if s.Name == "panic-aggregator" { // it gets the heartbeats
			out = append(out, alone(s.Name+": heartbeats, each second", s.Idle))
		}
	}
	return lowestFirst(out)
}

// byteLimits are the limits of GB per second over edges, if writers and readers are spread evenly: two in three edges cross a route.
func byteLimits(c Costs, m Machine) []limit {
	const same, crossing = 1. / 3, 2. / 3
	return lowestFirst([]limit{
		cpu("CPU of all servers", same*c.SamePerGB+crossing*c.RoutePerGB, 3*m.ServerCores),
		perSecond("network, out of all servers", (same+2*crossing)*1e9, 3*m.Network),
	})
}

func lowestFirst(all []limit) []limit {
	slices.SortStableFunc(all, func(a, b limit) int { return cmp.Compare(a.carries(), b.carries()) })
	return all
}
