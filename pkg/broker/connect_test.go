package broker

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// A port that Docker forwards accepts connections before the server behind it runs, and closes them.
func TestConnectionIsClosedBeforeGreeting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	defer func() {
		l.Close()
		<-done
	}()
	_, err = Connect(context.Background(), Options{URL: "nats://" + l.Addr().String(),
		Extra: []nats.Option{nats.RetryOnFailedConnect(false)}})
	if err == nil || !strings.Contains(err.Error(), "may be starting") {
		t.Errorf("got %v", err)
	}
}
