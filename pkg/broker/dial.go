package broker

import "net"

// A dialer opens connections that close at their first failed write.
type dialer struct{ net.Dialer }

// Dial is for nats.go.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &brittle{conn}, nil
}

// A brittle connection closes itself when a write fails. nats.go drops what it could not write, and continues
// with the next message if nothing was written at all, as after a timeout: messages and subscriptions of any part
// of the process would be lost without notice. nats.go replaces a closed connection, and notifies all users of
// that.
type brittle struct{ net.Conn }

func (c *brittle) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		_ = c.Close() // the first error counts
	}
	return n, err
}
