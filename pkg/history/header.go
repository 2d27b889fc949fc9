package history

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// The headers of a segment.
const (
	headerVersion   = "Dagyo-Segment"   // of headers and body; see version
	headerUpto      = "Dagyo-Upto"      // in every version: a writer must be able to read it
	headerPart      = "Dagyo-Part"      // "more" when the next segment has the same Upto
	headerRecords   = "Dagyo-Records"   // their number
	headerSubmitted = "Dagyo-Submitted" // the earliest and the latest time, with a slash between
	headerEnded     = "Dagyo-Ended"     // the same of the last events
	headerFlows     = "Dagyo-Flows"     // the filter, in base64
	headerColumns   = "Dagyo-Columns"   // what queries look at, in base64; older segments and some others have none
	headerDigest    = "Dagyo-Digest"    // SHA-256 of the body, in base64
)

const version = "1"

const partMore = "more"

// recordsLimit limits the records of a segment, when writing and when reading.
const recordsLimit = 512

// A summary is the index entry of a segment.
type summary struct {
	records int
	// upto is the place in EVENTS up to which ended flows are stored.
	upto uint64
	// more is true if the next segment belongs to the same append.
	more bool
	// The times of submission and of the last event.
	submitted, ended span
	flows            filter
	// columns is nil if every search must read the segment. An index reads them only to search.
	columns columns
}

// A span is the earliest and the latest of several times.
type span struct{ from, to time.Time }

func (s *span) add(t time.Time) {
	if t.Before(s.from) {
		s.from = t
	}
	if t.After(s.to) {
		s.to = t
	}
}

func (s span) String() string {
	return s.from.UTC().Format(time.RFC3339Nano) + "/" + s.to.UTC().Format(time.RFC3339Nano)
}

func parseSpan(text string) (s span, err error) {
	from, to, _ := strings.Cut(text, "/")
	if s.from, err = time.Parse(time.RFC3339Nano, from); err != nil {
		return s, err
	}
	s.to, err = time.Parse(time.RFC3339Nano, to)
	return s, err
}

// summarize describes one or more records.
func summarize(records []contract.FlowStatus) summary {
	s := summary{
		records: len(records), flows: newFilter(len(records)),
		submitted: span{records[0].Submitted, records[0].Submitted},
		ended:     span{records[0].Updated, records[0].Updated},
	}
	for _, r := range records {
		s.submitted.add(r.Submitted)
		s.ended.add(r.Updated)
		s.flows.add(hashID(r.Flow))
	}
	s.columns = newColumns(records, s.submitted)
	return s
}

// message returns the message that stores a segment.
func (s summary) message(body []byte) *nats.Msg {
	m := nats.NewMsg(contract.SubjectHistory)
	m.Data = body
	m.Header.Set(headerVersion, version)
	m.Header.Set(headerUpto, strconv.FormatUint(s.upto, 10))
	if s.more {
		m.Header.Set(headerPart, partMore)
	}
	m.Header.Set(headerRecords, strconv.Itoa(s.records))
	m.Header.Set(headerSubmitted, s.submitted.String())
	m.Header.Set(headerEnded, s.ended.String())
	m.Header.Set(headerFlows, base64.StdEncoding.EncodeToString(s.flows))
	if s.columns != nil {
		m.Header.Set(headerColumns, base64.StdEncoding.EncodeToString(s.columns))
	}
	m.Header.Set(headerDigest, digest(body))
	return m
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// parseUpto reads the only header that has the same meaning in every version.
func parseUpto(h nats.Header) (uint64, error) {
	upto, err := strconv.ParseUint(h.Get(headerUpto), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("header %s: %w", headerUpto, err)
	}
	return upto, nil
}

// parseSummary reads the headers of a segment.
func parseSummary(h nats.Header) (s summary, err error) {
	if got := h.Get(headerVersion); got != version {
		return s, fmt.Errorf("version %.20q of a segment; this program reads version %s", got, version)
	}
	s.more = h.Get(headerPart) == partMore
	var errs [5]error
	s.upto, errs[0] = parseUpto(h)
	s.records, errs[1] = strconv.Atoi(h.Get(headerRecords))
	s.submitted, errs[2] = parseSpan(h.Get(headerSubmitted))
	s.ended, errs[3] = parseSpan(h.Get(headerEnded))
	s.flows, errs[4] = base64.StdEncoding.DecodeString(h.Get(headerFlows))
	if err := errors.Join(errs[:]...); err != nil {
		return s, err
	}
	if s.records < 1 || s.records > recordsLimit || len(s.flows) != filterBytes(s.records) {
		return s, fmt.Errorf("%d records with a filter of %d bytes", s.records, len(s.flows))
	}
	return s, nil
}
