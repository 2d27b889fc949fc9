package docker

import (
	"strings"
	"time"
)

// A name is the name of an executor's container. It is both a claim, because a Docker host has a name
// only once, and the one place where a backend can write down what it has done to a container: labels
// never change.
//
//	<place>.<executor>                                        the executor as it was started
//	<place>.<executor>.draining-until-20260131T235959.000Z    SIGTERM was sent
//	<place>.<executor>.killed-at-20260131T235959.000Z         the last SIGTERM was sent
//	<place>.<executor>.abandoned                              its start was broken off
//
// Neither a place nor an executor id can hold a dot.
type name struct {
	place, executor string
	phase           phase
	// at is when the phase is over; zero where it has no end.
	at time.Time
	// said is how Docker says it, which somebody may have changed; "" for a name to be given.
	said string
}

// A phase is how far an executor has been brought to its end.
type phase string

const (
	serving   phase = ""
	draining  phase = "draining-until"
	givenUp   phase = "killed-at"
	abandoned phase = "abandoned"
)

const stamp = "20060102T150405.000Z"

func (n name) String() string {
	s := n.place + "." + n.executor
	if n.phase != serving {
		s += "." + string(n.phase)
	}
	if !n.at.IsZero() {
		s += "-" + n.at.UTC().Format(stamp)
	}
	return s
}

// current is how Docker knows the container now.
func (n name) current() string {
	if n.said != "" {
		return n.said
	}
	return n.String()
}

// is returns the name of the same executor in another phase.
func (n name) is(p phase, until time.Time) name {
	return name{place: n.place, executor: n.executor, phase: p, at: until.Truncate(time.Millisecond)}
}

// parseName reads a container's name as Docker says it, with or without the slash. A name that was
// changed by hand tells nothing: its executor serves.
func parseName(place, executor, said string) name {
	n := name{place: place, executor: executor}
	said = strings.TrimPrefix(said, "/")
	if rest, ok := strings.CutPrefix(said, n.String()+"."); ok {
		n = n.parsePhase(rest)
	}
	n.said = said
	return n
}

func (n name) parsePhase(s string) name {
	if s == string(abandoned) {
		return n.is(abandoned, time.Time{})
	}
	for _, p := range []phase{draining, givenUp} {
		text, ok := strings.CutPrefix(s, string(p)+"-")
		at, err := time.Parse(stamp, text)
		if ok && err == nil {
			return n.is(p, at)
		}
	}
	return n
}
