package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// A Pull requests messages of a consumer, as the server reads it.
type Pull struct {
	Batch int `json:"batch"`
	// Expires is how long the server keeps the request, Heartbeat the interval at which it shows that it has it.
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// Send sends the request; the messages are sent to inbox. They have a reply subject, and the server's status messages
// have none.
func (p Pull) Send(l *Link, stream, consumer, inbox string) error {
	request, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return l.PublishRequest(l.API("CONSUMER.MSG.NEXT."+stream+"."+consumer), inbox, request)
}

// ErrNoConsumer means that the consumer does not exist, or that the broker is starting.
var ErrNoConsumer = errors.New("the consumer does not exist")

// PullOver interprets a status message: whether the request has ended, and the error unless it is because no messages
// have arrived in time.
func PullOver(m *nats.Msg) (over bool, err error) {
	switch code := m.Header.Get("Status"); code {
	case "100": // a heartbeat
		return false, nil
	case "404", "408": // none arrived in time
		return true, nil
	case "503":
		return true, ErrNoConsumer
	default:
		return true, fmt.Errorf("status %s %s", code, m.Header.Get("Description"))
	}
}
