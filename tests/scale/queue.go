package main

import (
	"container/heap"
	"math/rand/v2"
)

// A simulation is a clock and what is going to happen. Times are in seconds.
type simulation struct {
	now    float64
	events events
	count  int
	random *rand.Rand
}

func newSimulation() *simulation {
	return &simulation{random: rand.New(rand.NewPCG(1, 2))}
}

// after calls f when d has passed.
func (s *simulation) after(d float64, f func()) {
	s.count++
	heap.Push(&s.events, event{s.now + d, s.count, f})
}

// run runs until nothing happens any more.
func (s *simulation) run() {
	for len(s.events) > 0 {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
}

type event struct {
	at    float64
	order int // of events at the same time
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// A station serves work in the order of its arrival, some of it at a time: the cores of a machine, or a lock.
type station struct {
	*simulation
	workers, busy int
	waiting       []work
	// used is the time that its workers have worked.
	used float64
}

type work struct {
	mean float64
	then func()
}

// do calls then when the work is done. Its length is exponentially distributed.
func (s *station) do(mean float64, then func()) {
	if s.busy == s.workers {
		s.waiting = append(s.waiting, work{mean, then})
		return
	}
	s.busy++
	s.serve(work{mean, then})
}

func (s *station) serve(w work) {
	d := w.mean * s.random.ExpFloat64()
	s.after(d, func() {
		s.used += d
		if len(s.waiting) > 0 {
			next := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.serve(next)
		} else {
			s.busy--
		}
		w.then()
	})
}
