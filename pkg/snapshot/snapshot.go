// Package snapshot stores the states of services, so that they start without reading all events, and trims the
// events that are part of the states of all services.
//
// A snapshot consists of messages of the stream SNAPSHOTS: its chunks, followed by its description. A snapshot without
// a description is incomplete. The reader trusts nothing without a check: it verifies the number and size of the
// chunks, and their SHA-256 digest.
package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

const (
	// Kept is the number of snapshots that a service keeps: a broken one must not cost the installation its state.
	Kept = 2
	// sizeLimit limits a snapshot that is read, in bytes; chunkSize is below every max_payload that Dagyo supports.
	sizeLimit = 1 << 30
	chunkSize = 128 << 10
)

// A Description is what is known about a snapshot without reading it.
type Description struct {
	Service string `json:"service"`
	// Place is the last event that the state includes.
	event.Place
	// Needs is the first event required to start from it; 0 means the one after Seq.
	Needs uint64 `json:"needs,omitempty"`
	// Form is the version of the snapshot's format, State that of the state.
	Form  int `json:"form"`
	State int `json:"state"`
	// Dagyo is the version of Dagyo that wrote it.
	Dagyo  string `json:"dagyo,omitempty"`
	Size   int    `json:"size"`
	Chunks int    `json:"chunks"`
	Digest string `json:"digest"`
}

func (d Description) String() string { return fmt.Sprintf("%s.%d", d.Service, d.Seq) }

// First returns the first event that a service needs to start from the snapshot.
func (d Description) First() uint64 {
	if d.Needs > 0 {
		return min(d.Needs, d.Seq+1)
	}
	return d.Seq + 1
}

// StreamConfig configures the stream. It sets no limit: each service keeps Kept snapshots.
func StreamConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: contract.StreamSnapshots, Description: "The states of services, from which they start",
		Subjects: []string{subjectPrefix + ">", contract.SecretSubject("") + "*"}, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: 1, Compression: jetstream.S2Compression, AllowDirect: true,
	}
}

const subjectPrefix = "snapshot."

func (d Description) subject() string { return subjectPrefix + d.String() }

func (d Description) chunk(n int) string { return d.subject() + "." + strconv.Itoa(n) }

// A Store reads and writes snapshots.
type Store struct{ JS jetstream.JetStream }

// Put stores a snapshot, and deletes the service's snapshots that are no longer needed.
func (s Store) Put(ctx context.Context, d Description, body []byte) error {
	digest := sha256.Sum256(body)
	d.Size, d.Chunks, d.Digest = len(body), 0, hex.EncodeToString(digest[:])
	for chunk := range slices.Chunk(body, chunkSize) {
		if _, err := s.JS.Publish(ctx, d.chunk(d.Chunks), chunk); err != nil {
			return fmt.Errorf("store chunk %d of snapshot %v: %w", d.Chunks, d, err)
		}
		d.Chunks++
	}
	raw, err := json.Marshal(d)
	if err == nil {
		_, err = s.JS.Publish(ctx, d.subject(), raw)
	}
	if err != nil {
		return fmt.Errorf("store snapshot %v: %w", d, err)
	}
	return s.clean(ctx, d.Service)
}

// clean deletes outdated snapshots of a service, and parts of incomplete ones. The one that was just stored may be
// among them: a leader that was paused stores it late, and EVENTS may be trimmed based on newer ones.
func (s Store) clean(ctx context.Context, service string) error {
	events, err := s.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return err
	}
	stream, err := s.JS.Stream(ctx, contract.StreamSnapshots)
	if err != nil {
		return err
	}
	all, err := s.List(ctx, service)
	if err != nil {
		return err
	}
	keep := make(map[string]bool)
	for _, d := range Remaining(all, events.CachedInfo().State.LastSeq) {
		keep[d.subject()] = true
	}
	subjects, err := subjects(ctx, stream, subjectPrefix+service+".>")
	for _, subject := range subjects {
		whole := strings.Join(strings.SplitN(subject, ".", 4)[:3], ".")
		if keep[whole] {
			continue
		}
		keep[whole] = true // it is gone then
		for _, filter := range []string{whole, whole + ".*"} {
			err = errors.Join(err, stream.Purge(ctx, jetstream.WithPurgeSubject(filter)))
		}
	}
	return err
}

func subjects(ctx context.Context, stream jetstream.Stream, filter string) ([]string, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var out []string
	for subject := range info.State.Subjects {
		out = append(out, subject)
	}
	return out, nil
}

// Remaining returns the snapshots of a service that are kept, newest first. EVENTS ends at end: snapshots beyond it
// belong to another stream.
func Remaining(all []Description, end uint64) []Description {
	all = slices.DeleteFunc(slices.Clone(all), func(d Description) bool { return d.Seq > end })
	return all[:min(len(all), Kept)]
}

// List returns the snapshots of a service, newest first. It ignores malformed descriptions.
func (s Store) List(ctx context.Context, service string) ([]Description, error) {
	stream, err := s.JS.Stream(ctx, contract.StreamSnapshots)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	names, err := subjects(ctx, stream, subjectPrefix+service+".*")
	if err != nil {
		return nil, err
	}
	var out []Description
	for _, subject := range names {
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was deleted in the meantime
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", subject, err)
		}
		var d Description
		if json.Unmarshal(m.Data, &d) == nil && d.subject() == subject {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, Newer)
	return out, nil
}

// Newer orders the snapshots of a service, newest first.
func Newer(a, b Description) int { return cmp.Compare(b.Seq, a.Seq) }

// Load calls use with the newest valid snapshot of a service with the form and version of like, and with its
// body. A snapshot that is not valid, or that use rejects, is passed to skip, and the next one is tried. One that cannot be
// read now is not skipped: the events after the one before it may have been deleted.
func (s Store) Load(
	ctx context.Context, like Description, use func(Description, []byte) error, skip func(Description, error) error,
) error {
	events, err := s.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return err
	}
	all, err := s.List(ctx, like.Service)
	if err != nil {
		return err
	}
	for _, d := range all {
		body, err := s.check(ctx, events, d, like)
		if err == nil {
			err = use(d, body)
		}
		if err == nil || ctx.Err() != nil || broker.Transient(err) {
			return err
		}
		if err := skip(d, err); err != nil {
			return err
		}
	}
	return nil
}

// check returns the body of a snapshot if it has the version of like, and belongs to these EVENTS.
func (s Store) check(ctx context.Context, events jetstream.Stream, d, like Description) ([]byte, error) {
	if d.Form != like.Form || d.State != like.State {
		return nil, fmt.Errorf("its version is %d.%d, not %d.%d", d.Form, d.State, like.Form, like.State)
	}
	if err := ofThese(ctx, events, d.Place); err != nil {
		return nil, err
	}
	return s.Get(ctx, d)
}

// Get returns the body of a snapshot, if it is intact.
func (s Store) Get(ctx context.Context, d Description) ([]byte, error) {
	if d.Size > sizeLimit {
		return nil, fmt.Errorf("it has %d bytes; the limit is %d", d.Size, sizeLimit)
	}
	stream, err := s.JS.Stream(ctx, contract.StreamSnapshots)
	if err != nil {
		return nil, err
	}
	var body []byte
	for n := range d.Chunks {
		m, err := stream.GetLastMsgForSubject(ctx, d.chunk(n))
		if err != nil {
			return nil, fmt.Errorf("read chunk %d: %w", n, err)
		}
		if body = append(body, m.Data...); len(body) > d.Size {
			break
		}
	}
	digest := sha256.Sum256(body)
	if len(body) != d.Size || hex.EncodeToString(digest[:]) != d.Digest {
		return nil, fmt.Errorf("the SHA-256 digest of its %d bytes differs from that of the %d bytes that were stored", len(body), d.Size)
	}
	return body, nil
}

// ofThese checks that a place belongs to these EVENTS: not to an earlier stream of that name, or to the time after the
// backup from which it was restored.
func ofThese(ctx context.Context, events jetstream.Stream, p event.Place) error {
	state := events.CachedInfo().State
	switch {
	case p.Seq == 0 || p.Seq > state.LastSeq:
		return fmt.Errorf("it includes event %d; EVENTS ends at %d", p.Seq, state.LastSeq)
	case p.Seq < state.FirstSeq:
		return nil
	}
	m, err := events.GetMsg(ctx, p.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // it was skipped
	}
	if err != nil {
		return fmt.Errorf("read event %d: %w", p.Seq, err)
	}
	if !m.Time.Equal(p.At) {
		return fmt.Errorf("event %d was stored at %v, not at %v", p.Seq, m.Time, p.At)
	}
	return nil
}
