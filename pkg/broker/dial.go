package broker

import "net"

// A dialer opens connections that end with their first failed write.
type dialer struct{ net.Dialer }

// Dial is for nats.go.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &brittle{conn}, nil
}

// A brittle connection closes itself when a write fails. nats.go drops what it could not write, and goes on
// with the next message where nothing at all was written, as after a time-out: messages and subscriptions of
// anybody in the process would be missing, and nobody would be told. A closed connection is one that it
// replaces, and everybody hears of that.
type brittle struct{ net.Conn }

func (c *brittle) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		_ = c.Close() // what counts is the first error
	}
	return n, err
}
