package docker

import (
	"strings"
	"time"
)

// A name is the name of an executor's container. It is a claim, because names are unique on a Docker host,
// and the only place where a backend can record what it has done to a container: labels never change.
//
//	<place>.<executor>                                        the executor as it was started
//	<place>.<executor>.draining                               SIGTERM is being sent, or was
//	<place>.<executor>.draining-until-20260131T235959.000Z    the same, and its grace period runs
//	<place>.<executor>.killed-at-20260131T235959.000Z         the last SIGTERM is being sent, or was
//	<place>.<executor>.abandoned                              its start was interrupted
//
// Neither a place nor an executor id contains a dot.
type name struct {
	place, executor string
	phase           phase
	// at is when the phase is over; zero if it has no end.
	at time.Time
	// said is the name as Docker returned it, which may have been changed by hand, or "" for a new name.
	said string
}

// A phase is a step of ending an executor.
type phase string

const (
	serving   phase = ""
	asked     phase = "draining"
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

// ending reports whether the executor has been told to end.
func (n name) ending() bool { return n.phase == asked || n.phase == draining || n.phase == givenUp }

// current is the container's name as Docker knows it now.
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

// parseName parses a container's name from Docker, with or without the slash. A name that was changed by hand
// carries no phase: its executor serves.
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
	if p := phase(s); p == asked || p == abandoned {
		return n.is(p, time.Time{})
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
