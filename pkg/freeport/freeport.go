// Package freeport finds ports for servers whose addresses must be known before they start, such as those of a cluster.
// It is for tests and benchmarks.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The system takes the local ports of outgoing connections from a range that begins above last on Linux (32768) and on
// other systems (49152). A port from that range may be taken before its server listens there: by any connection, even by
// one of a client that tries to reach that server.
const (
	first, last = 10_000, 32_000
	attempts    = 1000
)

// Find returns n different ports on 127.0.0.1 on which nothing listens.
func Find(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range attempts {
		if len(ports) == n {
			return ports, nil
		}
		port := first + rand.N(last-first)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // in use
		}
		defer func() { _ = l.Close() }() // it has accepted nothing; it holds the port until all are found
		ports = append(ports, port)
	}
	if len(ports) == n {
		return ports, nil
	}
	return nil, fmt.Errorf("found %d of %d free ports between %d and %d", len(ports), n, first, last)
}
