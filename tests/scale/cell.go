package main

// What a flow of three jobs stores with three replicas. The bench counts the same (TestCounts).
const (
	jobs      = 3
	perFlow   = 6 + 2*jobs            // events: submit, validated, planned, spawned, completed, cleaned; started and done
	allWrites = perFlow + jobs + jobs // and jobs, and their acknowledgements
)

// A cell is three servers and the leaders of the four services. Followers and executors have their own machines.
type cell struct {
	*simulation
	costs   Costs
	servers [3]*station // the first leads EVENTS
	events  *station    // the stream EVENTS: it stores one message after the other
	network *station    // out of the first server
	sending float64     // its time for each event
	leaders map[string]*leader

	took []float64 // submit → cleaned, of flows that are counted
	done []float64 // when they ended
}

// A leader follows EVENTS in one goroutine, and performs and publishes in others.
type leader struct {
	serial, cores  *station
	folding, other float64 // CPU time for each event
}

func newCell(c Costs, m Machine) *cell {
	s := newSimulation()
	out := &cell{
		simulation: s, costs: c, leaders: make(map[string]*leader),
		events: &station{simulation: s, workers: 1}, network: &station{simulation: s, workers: 1},
		sending: c.sent() / perFlow / m.Network,
	}
	for i := range out.servers {
		out.servers[i] = &station{simulation: s, workers: m.ServerCores}
	}
	for _, service := range c.Services {
		share := serial[service.Name]
		out.leaders[service.Name] = &leader{
			serial: &station{simulation: s, workers: 1}, cores: &station{simulation: s, workers: m.ServiceCores - 1},
			folding: service.Leader * share / perFlow, other: service.Leader * (1 - share) / perFlow,
		}
	}
	return out
}

// write stores a message on the leading server and on the faster of the two others, and then calls stored.
func (c *cell) write(stored func()) {
	c.servers[0].do(c.costs.EventsServer/allWrites, func() {
		confirmed := false
		for _, follower := range c.servers[1:] {
			c.after(hop, func() {
				follower.do(c.costs.OtherServer/allWrites, func() {
					c.after(hop, func() {
						if !confirmed {
							confirmed = true
							stored()
						}
					})
				})
			})
		}
	})
}

// publisher stands for who publishes an event, instead of a service.
const publisher = ""

// publish stores an event, which all services fold, and calls then once the given service has done so, or once the publisher
// has the acknowledgement.
func (c *cell) publish(to string, then func()) {
	stored := func() {
		for _, service := range c.costs.Services {
			folded := func() {}
			if service.Name == to {
				folded = then
			}
			c.after(hop, func() { c.leaders[service.Name].fold(folded) })
		}
		if to == publisher {
			c.after(hop, then)
		}
	}
	c.after(hop, func() {
		c.events.do(1/c.costs.WriteRate, func() {
			c.network.do(c.sending, func() { c.write(stored) })
		})
	})
}

func (l *leader) fold(then func()) {
	l.serial.do(l.folding, func() { l.cores.do(l.other, then) })
}

// submit runs a flow, and calls ended when it is cleaned up.
func (c *cell) submit(ended func()) {
	left := jobs
	done := func() {
		if left--; left == 0 {
			c.publish("planner", func() { c.publish("spawner", ended) }) // flow.completed, flow.cleaned
		}
	}
	spawn := func() {
		stored := 0
		for range jobs {
			c.after(hop, func() {
				c.write(func() {
					if stored++; stored == jobs {
						c.publish(publisher, func() {}) // flow.spawned
					}
					c.after(hop, func() { c.execute(done) })
				})
			})
		}
	}
	// flow.submit, flow.validated, flow.planned
	c.publish("validator", func() { c.publish("planner", func() { c.publish("spawner", spawn) }) })
}

// execute claims a job by job.started, acknowledges it, and runs a program that takes no time.
func (c *cell) execute(done func()) {
	c.publish(publisher, func() {
		c.after(hop, func() {
			c.write(func() { c.publish("panic-aggregator", done) }) // job.done
		})
	})
}

// flows submits n flows at a rate per second, at random times.
func (c *cell) flows(rate float64, n int) {
	var next func(int)
	next = func(i int) {
		if i == n {
			return
		}
		began := c.now
		c.submit(func() {
			c.done = append(c.done, c.now)
			if i >= n/10 {
				c.took = append(c.took, c.now-began)
			}
		})
		c.after(c.random.ExpFloat64()/rate, func() { next(i + 1) })
	}
	next(0)
	c.run()
}
