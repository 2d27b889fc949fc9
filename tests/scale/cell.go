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
	leaders map[string]*leader

	took []float64 // submit → cleaned, of flows that are counted
	done []float64 // when they ended
}

// A leader folds all events in order, and decides under the same lock; it encodes and publishes beside that.
type leader struct {
	lock, cores    *station
	serial, beside float64 // time for each event
}

func newCell(c Costs, m Machine) *cell {
	s := newSimulation()
	out := &cell{
		simulation: s, costs: c, leaders: make(map[string]*leader),
		events: &station{simulation: s, workers: 1},
	}
	for i := range out.servers {
		out.servers[i] = &station{simulation: s, workers: m.ServerCores}
	}
	for _, service := range c.Services {
		share := serial[service.Name]
		out.leaders[service.Name] = &leader{
			lock: &station{simulation: s, workers: 1}, cores: &station{simulation: s, workers: m.ServiceCores - 1},
			serial: service.Leader * share / perFlow, beside: service.Leader * (1 - share) / perFlow,
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

// publish stores an event. Each service calls its handler once it has folded the event; nil handlers do nothing.
func (c *cell) publish(handlers map[string]func()) {
	c.after(hop, func() {
		c.events.do(1/c.costs.WriteRate, func() {
			c.write(func() {
				for _, service := range c.costs.Services {
					c.after(hop, func() { c.leaders[service.Name].fold(handlers[service.Name]) })
				}
			})
		})
	})
}

func (l *leader) fold(then func()) {
	l.lock.do(l.serial, func() {
		l.cores.do(l.beside, func() {
			if then != nil {
				then()
			}
		})
	})
}

// submit runs a flow, and calls ended when it is cleaned up.
func (c *cell) submit(ended func()) {
	on := func(service string, f func()) map[string]func() { return map[string]func(){service: f} }
	ran := 0
	completed := func() {
		if ran++; ran == jobs {
			c.publish(on("planner", func() { c.publish(on("spawner", ended)) }))
		}
	}
	spawn := func() {
		stored := 0
		for range jobs {
			c.after(hop, func() {
				c.write(func() {
					if stored++; stored == jobs {
						c.publish(nil) // flow.spawned
					}
					c.after(hop, func() { c.execute(func() { c.publish(on("panic-aggregator", completed)) }) })
				})
			})
		}
	}
	c.publish(on("validator", func() { c.publish(on("planner", func() { c.publish(on("spawner", spawn)) })) }))
}

// execute claims a job by an event, acknowledges it, and runs the program, which takes no time.
func (c *cell) execute(done func()) {
	c.publish(nil)
	c.after(4*hop, func() { c.write(done) })
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
