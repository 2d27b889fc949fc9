package broker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// payloadSlack is what a publication may add to an encoded event, in bytes: headers for JetStream.
const payloadSlack = 1 << 10

// Encode returns the message that publishes e. If it exceeds the server's max_payload, Encode first stores the
// data in the object store, and the event refers to it.
func (l *Link) Encode(ctx context.Context, e contract.Event) (*nats.Msg, error) {
	m, err := event.Encode(e)
	if err != nil || int64(m.Size()+payloadSlack) <= l.MaxPayload() {
		return m, err
	}
	data, err := event.Payload(e)
	if err != nil {
		return nil, err
	}
	if len(data) > event.SizeLimit {
		return nil, problem.List{{
			Code:    problem.TooLarge,
			Message: fmt.Sprintf("the %s event has %d bytes; the limit is %d", e.Type, len(data), event.SizeLimit),
			Hint:    "split the flow, or shorten the document",
		}}
	}
	to, err := l.putData(ctx, data)
	if err != nil {
		return nil, &storeError{fmt.Errorf("store the data of %s of %q: %w", e.Type, e.Subject, err)}
	}
	return event.EncodeReference(e, to)
}

// A storeError is a failure of the broker, not of the event.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// Passing reports whether an error of Encode is a failure of the broker, and may be gone at the next try.
func Passing(err error) bool {
	var s *storeError
	return errors.As(err, &s)
}

// putData stores data under a name that is derived from its content, so that a second try finds the object of the
// first, and readers never see it change.
func (l *Link) putData(ctx context.Context, data []byte) (event.Reference, error) {
	digest := sha256.Sum256(data)
	to := event.Reference{Bucket: contract.BucketData, Object: hex.EncodeToString(digest[:])}
	store, err := l.Edges().JS.ObjectStore(ctx, to.Bucket)
	if err != nil {
		return to, err
	}
	switch _, err = store.GetInfo(ctx, to.Object); {
	case err == nil:
		return to, nil
	case !errors.Is(err, jetstream.ErrObjectNotFound):
		return to, err
	}
	_, err = store.PutBytes(ctx, to.Object, data)
	return to, err
}

// Resolve returns the body of a message including the data that it refers to. Most messages refer to nothing and
// are returned unchanged. An error of type *event.Unreadable means that the data can never be read; other errors
// may be transient.
func (l *Link) Resolve(ctx context.Context, header nats.Header, body []byte) ([]byte, error) {
	to, ok, err := event.Referenced(header, body)
	if !ok || err != nil {
		return body, err
	}
	if to.Bucket != contract.BucketData {
		return body, unreadable("dataref names the bucket %q; the data of events is in %q", to.Bucket, contract.BucketData)
	}
	data, err := l.getData(ctx, to)
	if err != nil {
		return body, err
	}
	whole, err := event.WithData(header, body, data)
	if err != nil {
		return body, unreadable("%v", err)
	}
	return whole, nil
}

// getWait limits one attempt to read an event's data.
const getWait = 10 * time.Second

// getData reads an object chunk by chunk. It trusts nothing in the object's description: any client may have
// stored it. The library's own reader waits for missing chunks until its context ends, accepts any amount of
// data, and follows links.
func (l *Link) getData(ctx context.Context, to event.Reference) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getWait)
	defer cancel()
	store, err := l.Edges().JS.ObjectStore(ctx, to.Bucket)
	if err != nil {
		return nil, fmt.Errorf("get the data at %s: %w", to, err)
	}
	info, err := store.GetInfo(ctx, to.Object)
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound), errors.Is(err, jetstream.ErrBadObjectMeta):
		return nil, unreadable("the data at %s was not found", to)
	case err != nil:
		return nil, passingOrNot(to, err)
	case info.Opts != nil && info.Opts.Link != nil:
		return nil, unreadable("the object at %s is a link; the data of an event must be an object", to)
	case info.Size > event.SizeLimit:
		return nil, unreadable("the data at %s has %d bytes; the limit is %d", to, info.Size, event.SizeLimit)
	case !validToken(info.NUID):
		return nil, unreadable("the object at %s has no chunks", to)
	}
	stream, err := l.Edges().JS.Stream(ctx, "OBJ_"+to.Bucket)
	if err != nil {
		return nil, fmt.Errorf("get the data at %s: %w", to, err)
	}
	return readChunks(ctx, stream, to, info)
}

// readChunks reads the chunks of an object, and compares size and digest with the object's description.
func readChunks(
	ctx context.Context, s jetstream.Stream, to event.Reference, info *jetstream.ObjectInfo,
) ([]byte, error) {
	subject := "$O." + to.Bucket + ".C." + info.NUID
	var data []byte
	for seq := uint64(1); uint64(len(data)) < info.Size; {
		m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, unreadable("the data at %s is incomplete: %d of %d bytes were found", to, len(data), info.Size)
		case err != nil:
			return nil, passingOrNot(to, err)
		case uint64(len(data)+len(m.Data)) > info.Size || len(m.Data) == 0:
			return nil, unreadable("the chunks of the data at %s do not add up to its %d bytes", to, info.Size)
		}
		data, seq = append(data, m.Data...), m.Sequence+1
	}
	digest := sha256.Sum256(data)
	if info.Digest != "SHA-256="+base64.URLEncoding.EncodeToString(digest[:]) {
		return nil, unreadable("the data at %s does not match the SHA-256 digest of its object", to)
	}
	return data, nil
}

// passingOrNot distinguishes a broker that does not answer from an object with a malformed description.
func passingOrNot(to event.Reference, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return unreadable("cannot read the object at %s: %v", to, err)
	}
	return fmt.Errorf("get the data at %s: %w", to, err)
}

// validToken reports whether text is one token of a subject, without wildcards.
func validToken(text string) bool {
	return text != "" && !strings.ContainsAny(text, ".*> \t\r\n")
}

func unreadable(format string, args ...any) error {
	return &event.Unreadable{Problems: problem.List{{
		Code: problem.NotCloudEvent, Pointer: "/dataref", Message: fmt.Sprintf(format, args...),
	}}}
}
