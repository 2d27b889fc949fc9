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

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
)

// servicePrefix is the prefix of every Dagyo service in `nats micro ls`.
const servicePrefix = "dagyo-"

// Services returns the Dagyo services of an installation.
func Services() []string { return contract.Services() }

// Ping counts the replicas of each service that answer before the context ends. It returns as soon as one
// replica of each wanted service has answered; without names, all services are wanted.
func (c *Client) Ping(ctx context.Context, wanted ...string) (map[string]int, error) {
	return c.PingHost(ctx, "", wanted...)
}

// PingHost is Ping for the replicas on one host, by its name; "" for any.
func (c *Client) PingHost(ctx context.Context, host string, wanted ...string) (map[string]int, error) {
	replies := c.link.NewInbox()
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
	for len(Missing(found, wanted...)) > 0 {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) || ctx.Err() != nil {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("ping services: %w", err)
		}
		if name, ours := serviceName(m.Data, host); ours {
			found[name]++
		}
	}
	return found, nil
}

func serviceName(reply []byte, host string) (string, bool) {
	var ping micro.Ping
	if err := json.Unmarshal(reply, &ping); err != nil || host != "" && ping.Metadata[service.MetadataHost] != host {
		return "", false
	}
	return strings.CutPrefix(ping.Name, servicePrefix)
}

// Behind returns the number of events that the services have still to read, in total.
func (c *Client) Behind(ctx context.Context) (uint64, error) {
	events, err := c.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, fmt.Errorf("read the state of the services' consumers: %w", explained(err))
	}
	var behind uint64
	consumers := events.ListConsumers(ctx)
	for consumer := range consumers.Info() {
		if consumer.Config.Metadata[broker.MetadataService] != "" {
			behind += consumer.NumPending
		}
	}
	return behind, consumers.Err()
}

// Missing lists the wanted services that were not found; without names, all services are wanted.
func Missing(found map[string]int, wanted ...string) []string {
	if len(wanted) == 0 {
		wanted = Services()
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return found[name] > 0 })
}
