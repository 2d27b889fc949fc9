package main

import (
	"cmp"
	"slices"
)

// A limit is what one part carries if all others have room: what a flow, a live flow or a GB takes of it, and what it has.
type limit struct {
	part       string
	takes, has float64
}

func (l limit) carries() float64 { return l.has / l.takes }

// flowLimits are the limits of flows per second, the lowest first.
func flowLimits(c Costs, m Machine) []limit {
	out := []limit{
		{"CPU of the events server, s", c.EventsServer, float64(m.ServerCores)},
		{"CPU of each other server, s", c.OtherServer, float64(m.ServerCores)},
		{"EVENTS: writes, one after the other, s", perFlow / c.WriteRate, 1},
		{"network out of the events server, bytes", c.sent(), m.ServerSends},
		{"disk of each server, bytes", c.Stored, m.ServerDisk},
	}
	for _, s := range c.Services {
		share := serial[s.Name]
		out = append(out,
			limit{s.Name + ", leader: under its lock, s", s.Leader * share, 1},
			limit{s.Name + ", leader: other CPU, s", s.Leader * (1 - share), float64(m.ServiceCores - 1)})
	}
	return sorted(out)
}

// sent is what the events server sends for a flow: everything that is published, stored messages twice to the other servers
// and, of EVENTS, to two replicas of each service.
func (c Costs) sent() float64 {
	return c.Published + c.Stored*float64(2+2*len(c.Services))
}

// liveLimits are the limits of live flows that do nothing.
func liveLimits(c Costs, m Machine) []limit {
	out := []limit{{"memory of each server, bytes", c.MemoryServer, m.ServerMemory}}
	if c.IdleServers > 0 {
		out = append(out, limit{"CPU of the servers, s per second", c.IdleServers, float64(3 * m.ServerCores)})
	}
	for _, s := range c.Services {
		out = append(out, limit{s.Name + ": memory, bytes", s.Memory, m.ServiceMemory})
		if s.Idle > 0 {
			out = append(out, limit{s.Name + ": CPU, s per second", s.Idle, 1})
		}
	}
	return sorted(out)
}

// byteLimits are the limits of GB per second over edges, if writers and readers are spread evenly: two in three edges cross a route.
func byteLimits(c Costs, m Machine) []limit {
	const same, crossing = 1. / 3, 2. / 3
	return sorted([]limit{
		{"CPU of the servers, s per GB", same*c.SamePerGB + crossing*c.RoutePerGB, float64(3 * m.ServerCores)},
		{"network out of the servers, bytes per GB", (same + 2*crossing) * 1e9, 3 * m.ServerSends},
	})
}

func sorted(all []limit) []limit {
	slices.SortStableFunc(all, func(a, b limit) int { return cmp.Compare(a.carries(), b.carries()) })
	return all
}
