package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// servicePrefix begins the name of every Dagyo service in `nats micro ls`.
const servicePrefix = "dagyo-"

// Services returns the Dagyo services that an installation is made of.
func Services() []string {
	return []string{"validator", "planner", "spawner", "panic-aggregator"}
}

// Ping counts the replicas of each service that answer before the context ends. It returns as soon as
// one of each has answered.
func (c *Client) Ping(ctx context.Context) (map[string]int, error) {
	replies := nats.NewInbox()
	sub, err := c.link.SubscribeSync(replies)
	if err != nil {
		return nil, fmt.Errorf("ping services: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	subject, err := micro.ControlSubject(micro.PingVerb, "", "")
	if err == nil {
		err = c.link.PublishRequest(subject, replies, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("ping services: %w", err)
	}
	found := make(map[string]int)
	for len(Missing(found)) > 0 {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) || ctx.Err() != nil {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("ping services: %w", err)
		}
		if name, ours := serviceName(m.Data); ours {
			found[name]++
		}
	}
	return found, nil
}

func serviceName(reply []byte) (string, bool) {
	var ping micro.Ping
	if err := json.Unmarshal(reply, &ping); err != nil {
		return "", false
	}
	return strings.CutPrefix(ping.Name, servicePrefix)
}

// Missing lists the services that are not among the found.
func Missing(found map[string]int) []string {
	return slices.DeleteFunc(Services(), func(name string) bool { return found[name] > 0 })
}
