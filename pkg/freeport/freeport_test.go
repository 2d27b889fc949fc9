package freeport

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	ports, err := Find(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d is there twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = l.Close()
	}
	if len(ports) != 50 {
		t.Errorf("%d ports", len(ports))
	}
}

// The system never gives such a port to a connection.
func TestPortsAreNotEphemeral(t *testing.T) {
	setting, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip(err)
	}
	low, err := strconv.Atoi(strings.Fields(string(setting))[0])
	if err != nil {
		t.Fatal(err)
	}
	if low <= last {
		t.Skipf("this machine takes ports for connections from %d on", low)
	}
	ports, err := Find(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		if port >= low {
			t.Errorf("port %d is one for connections, which begin at %d", port, low)
		}
	}
}
