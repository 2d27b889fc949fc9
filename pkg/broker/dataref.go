package broker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// payloadSlack is what a publication may add to an encoded event, in bytes: headers for JetStream.
const payloadSlack = 1 << 10

// Encode returns the message that publishes e. If it exceeds the server's max_payload, Encode first stores the
// data in the object store, and the event refers to it. Events that may not refer to data are too large then.
func (l *Link) Encode(ctx context.Context, e contract.Event) (*nats.Msg, error) {
	m, err := event.Encode(e)
	if err != nil || int64(m.Size()+payloadSlack) <= l.MaxPayload() {
		return m, err
	}
	data := event.Payload(m)
	size, limit, hint := len(data), event.ReferenceLimit(e.Type), "split the flow, or shorten the document"
	if limit == 0 { // its data must be in the message
		size, limit, hint = m.Size(), int(l.MaxPayload())-payloadSlack, "shorten it"
	}
	if size > limit {
		return nil, problem.List{{
			Code:    problem.TooLarge,
			Message: fmt.Sprintf("the %s event has %d bytes; the limit is %d", e.Type, size, limit),
			Hint:    hint,
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
// first, and readers never see it change. The library's own function reads the description of the store and purges
// objects of the same name, which clients have no right to.
func (l *Link) putData(ctx context.Context, data []byte) (event.Reference, error) {
	digest := sha256.Sum256(data)
	to := event.Reference{Bucket: contract.BucketData, Object: hex.EncodeToString(digest[:])}
	// An object that is there is read: somebody else may have put another one in its place.
	var unreadable *event.Unreadable
	if _, err := l.getData(ctx, to, event.SizeLimit); err == nil || !errors.As(err, &unreadable) {
		return to, err
	}
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: to.Object, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize}},
		Bucket:     to.Bucket, NUID: nuid.Next(), Size: uint64(len(data)), ModTime: time.Now().UTC(), Digest: digestOf(digest),
	}
	for chunk := range slices.Chunk(data, chunkSize) {
		if _, err := l.JS.Publish(ctx, chunkSubject(to, &info), chunk); err != nil {
			return to, err
		}
		info.Chunks++
	}
	body, err := json.Marshal(info)
	if err != nil {
		return to, err
	}
	m := &nats.Msg{Subject: objectSubject(to), Header: nats.Header{}, Data: body}
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	_, err = l.JS.PublishMsg(ctx, m)
	return to, err
}

// chunkSize is the size of the messages that hold an object, as that of common clients. minChunk is the least size of
// all but the last one: each costs a request, so that small ones would keep a reader busy for long.
const (
	chunkSize = 128 << 10
	minChunk  = 64 << 10
)

// objectSubject and chunkSubject are where the object store keeps the description of an object, and its chunks.
func objectSubject(to event.Reference) string {
	return "$O." + to.Bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(to.Object))
}

func chunkSubject(to event.Reference, info *jetstream.ObjectInfo) string {
	return "$O." + to.Bucket + ".C." + info.NUID
}

func digestOf(sum [sha256.Size]byte) string {
	return "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])
}

// dataMessage reads a message of the object store from its leader: a replica may not have it yet.
func (l *Link) dataMessage(ctx context.Context, q Query) (*jetstream.RawStreamMsg, error) {
	return l.LeaderMessage(ctx, "OBJ_"+contract.BucketData, q)
}

// Resolve returns the body of a message including the data that it refers to. Most messages refer to nothing and
// are returned unchanged. An error of type *event.Unreadable means that the data can never be read; other errors
// may be transient, also ErrSlow.
func (l *Link) Resolve(ctx context.Context, subject string, header nats.Header, body []byte) ([]byte, error) {
	to, ok, err := event.Referenced(contract.TypeOf(subject), header, body)
	if !ok || err != nil {
		return body, err
	}
	if to.Bucket != contract.BucketData {
		return body, unreadable("dataref names the bucket %q; the data of events is in %q", to.Bucket, contract.BucketData)
	}
	data, err := l.getData(ctx, to, event.ReferenceLimit(contract.TypeOf(subject)))
	if err != nil {
		return body, err
	}
	whole, err := event.WithData(header, body, data)
	if err != nil {
		return body, unreadable("%v", err)
	}
	return whole, nil
}

// replaced reports whether an object is named by another SHA-256 digest than its own. Those of services are named by their
// digest: everybody who may store objects can replace one, but not so that its content fits such a name.
func replaced(name string, info *jetstream.ObjectInfo) bool {
	sum, err := hex.DecodeString(name)
	return err == nil && len(sum) == sha256.Size && strings.ToLower(name) == name && info.Digest != digestOf([sha256.Size]byte(sum))
}

// getWait limits one attempt to read an event's data.
const getWait = 10 * time.Second

// ErrSlow means that an attempt to read an event's data has taken too long.
var ErrSlow = fmt.Errorf("it could not be read within %v", getWait)

// getData is readData with a limit of time.
func (l *Link) getData(ctx context.Context, to event.Reference, limit int) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, getWait)
	defer cancel()
	data, err := l.readData(limited, to, limit)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return data, err
}

// readData reads an object of at most limit bytes chunk by chunk. It trusts nothing in the object's description: any
// client may have stored it. The library's own reader waits for missing chunks until its context ends, accepts any
// amount of data, and follows links.
func (l *Link) readData(ctx context.Context, to event.Reference, limit int) ([]byte, error) {
	info, err := l.dataInfo(ctx, to)
	switch {
	case err != nil:
		return nil, err
	case info.Opts != nil && info.Opts.Link != nil:
		return nil, unreadable("the object at %s is a link; the data of an event must be an object", to)
	case info.Size > uint64(limit):
		return nil, unreadable("the data at %s has %d bytes; the limit is %d", to, info.Size, limit)
	case !validToken(info.NUID):
		return nil, unreadable("the object at %s has no chunks", to)
	case replaced(to.Object, info):
		return nil, unreadable("the data at %s was replaced: its name is another SHA-256 digest than its own", to)
	}
	return l.readChunks(ctx, to, info)
}

// dataInfo reads the description of an object.
func (l *Link) dataInfo(ctx context.Context, to event.Reference) (*jetstream.ObjectInfo, error) {
	m, err := l.dataMessage(ctx, Query{Last: objectSubject(to)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, unreadable("the data at %s was not found", to)
	}
	if err != nil {
		return nil, fmt.Errorf("get the data at %s: %w", to, err)
	}
	var info jetstream.ObjectInfo
	if err := json.Unmarshal(m.Data, &info); err != nil {
		return nil, unreadable("cannot read the object at %s: %v", to, err)
	}
	if info.Deleted {
		return nil, unreadable("the data at %s was not found", to)
	}
	return &info, nil
}

// readChunks reads the chunks of an object, and compares size and digest with the object's description.
func (l *Link) readChunks(ctx context.Context, to event.Reference, info *jetstream.ObjectInfo) ([]byte, error) {
	data := make([]byte, 0, info.Size) // which is bounded
	for seq := uint64(1); uint64(len(data)) < info.Size; {
		m, err := l.dataMessage(ctx, Query{Seq: seq, Next: chunkSubject(to, info)})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, unreadable("the data at %s is incomplete: %d of %d bytes were found", to, len(data), info.Size)
		case err != nil:
			return nil, fmt.Errorf("get the data at %s: %w", to, err)
		case uint64(len(data)+len(m.Data)) > info.Size || len(m.Data) == 0:
			return nil, unreadable("the chunks of the data at %s do not add up to its %d bytes", to, info.Size)
		case len(m.Data) < minChunk && uint64(len(data)+len(m.Data)) < info.Size:
			return nil, unreadable("a chunk of the data at %s has %d bytes; all but the last must have at least %d",
				to, len(m.Data), minChunk)
		}
		data, seq = append(data, m.Data...), m.Sequence+1
	}
	if info.Digest != digestOf(sha256.Sum256(data)) {
		return nil, unreadable("the data at %s does not match the SHA-256 digest of its object", to)
	}
	return data, nil
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
