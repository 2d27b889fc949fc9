package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func sealedChecks() []Check {
	const see = "Edges, Sealed edges"
	return []Check{{
		Name: "sealed.echo", See: see, run: sealedEcho,
		Demand: "Sealed edges carry records unchanged. All that the executor sends on them is sealed, and what it stores " +
			"is on subjects that end in its id. It publishes and logs no key.",
	}, {
		Name: "sealed.noise", See: see, run: sealedNoise,
		Demand: "What does not open is ignored: messages that are not sealed, are stored under another name, or repeat " +
			"what was sent, with another reply subject.",
	}}
}

// seal seals the edges of a flow.
func seal(f *flow) {
	kit, job := &contract.End{Name: kitName}, &contract.End{Job: echoJob}
	for _, a := range []*contract.Address{&f.in, &f.out} {
		key := make(contract.Key, wire.KeySize)
		_, _ = rand.Read(key) // never fails
		a.Salt, a.Writer, a.Reader = "kit", kit, job
		*a = a.WithKey(key)
	}
	f.out.Writer, f.out.Reader = job, kit
}

func sealedEcho(ctx context.Context, s *stage) (string, error) {
	l := append(varied(500, 4000), 1<<20, 0, 7)
	p, f, err := s.running(ctx, seal)
	if err != nil {
		return "", err
	}
	if err := echoInTime(ctx, s, f, l); err != nil {
		return "", err
	}
	if shows([]byte(p.out.String()), f) {
		return "", errors.New("the executor has written a key to its output")
	}
	n := 0
	for _, m := range p.tap.Journal.All() {
		if m.Op == tap.Pub && shows(m.Data, f) {
			return "", fmt.Errorf("a message on %s contains a key", m.Subject)
		}
		if m.Op != tap.Pub || !carries(m.Subject, f) || m.Size == 0 {
			continue
		}
		n++
		if m.Data[0] != wire.SealedVersion {
			return "", fmt.Errorf("a message on %s is not sealed", m.Subject)
		}
		if !strings.HasPrefix(m.Subject, "direct.") && contract.WithoutSender(m.Subject) == m.Subject {
			return "", fmt.Errorf("%s does not end in .by.<executor>", m.Subject)
		}
	}
	return fmt.Sprintf("%v went through in %s, all of them sealed", l, document.Count(n, "message")), nil
}

// shows reports whether a text contains a key of the flow's edges.
func shows(text []byte, f *flow) bool {
	for _, a := range []contract.Address{f.in, f.out} {
		key := []byte(a.Sealed.Key)
		if bytes.Contains(text, key) || bytes.Contains(text, hex.AppendEncode(nil, key)) ||
			bytes.Contains(text, base64.StdEncoding.AppendEncode(nil, key)) {
			return true
		}
	}
	return false
}

// echoInTime gives up after the patience: an executor that does not know sealed edges receives nothing.
func echoInTime(ctx context.Context, s *stage, f *flow, l load) error {
	within, cancel := s.clock.Within(ctx, s.patience, errLate)
	defer cancel()
	return f.echo(within, l)
}

// carries reports whether a subject is one of the edges of a flow.
func carries(subject string, f *flow) bool {
	for _, a := range []contract.Address{f.in, f.out} {
		for _, prefix := range []string{a.Subject, a.Credit, a.Direct} {
			if strings.HasPrefix(subject, prefix+".") || subject == prefix {
				return true
			}
		}
	}
	return false
}

// mostNoise bounds the messages that are answered with noise.
const mostNoise = 200

func sealedNoise(ctx context.Context, s *stage) (string, error) {
	l := varied(2000, 400)
	f, err := s.flow(ctx, seal)
	if err != nil {
		return "", err
	}
	end, err := wire.NewEncoder(1<<10, 1<<11).Finish()
	if err != nil {
		return "", err
	}
	closed := wire.Credit{Closed: true, Frame: 1, Attach: 1 << 62}.Append(nil)
	publish := func(to *broker.Link, subject string, data []byte) {
		_ = to.PublishRequest(subject, to.NewInbox(), data) // the flow shows whether the connection works
	}
	for _, a := range []contract.Address{f.in, f.out} {
		for _, by := range []string{"", ".by.mallory"} {
			for n := range uint64(4) {
				publish(f.hub.inside, a.Slot(n)+by, end)
			}
			publish(f.hub.inside, a.Credit+by, closed)
		}
	}
	var noise atomic.Int64
	heard := func(m *nats.Msg) {
		if noise.Add(1) > mostNoise || len(m.Data) == 0 || m.Data[0] != wire.SealedVersion {
			return
		}
		for _, data := range [][]byte{m.Data, end, wire.Hint(1 << 40), []byte("noise")} {
			publish(f.hub.outside, m.Subject, data)
		}
		publish(f.hub.outside, m.Reply, closed)
	}
	for _, subject := range []string{f.in.Direct + ".*", f.out.Direct + ".*"} {
		sub, err := f.hub.outside.Subscribe(subject, heard)
		if err != nil {
			return "", err
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	if err := f.put(ctx); err != nil {
		return "", err
	}
	if _, err := s.start(ctx); err != nil {
		return "", err
	}
	if err := echoInTime(ctx, s, f, l); err != nil {
		return "", err
	}
	return fmt.Sprintf("%v went through, despite forged messages", l), nil
}
