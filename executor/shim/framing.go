package shim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/executor"
)

// A Framing is how records are delimited in a pipe.
type Framing string

// The framings.
const (
	// Lines ends each record with a newline. When reading, a carriage return before the newline is
	// removed, and the last record may lack both.
	Lines Framing = "lines"
	// Nul ends each record with a zero byte, as xargs -0 and sort -z do.
	Nul Framing = "nul"
	// Length begins each record with its length in four bytes, big-endian. It carries any record.
	Length Framing = "length"
	// JSONLines is one JSON text per line. Records are written without newlines; empty lines are
	// ignored.
	JSONLines Framing = "jsonl"
	// Raw has no frames: records are written back to back, and the bytes of one read are one record, of
	// at most 64 KiB. If the typename is utf8-string, no character is split.
	Raw Framing = "raw"
)

var framings = []Framing{Lines, Nul, Length, JSONLines, Raw}

// byTypename returns a port's default framing.
func byTypename(typename string) (Framing, error) {
	switch typename {
	case text:
		return Lines, nil
	case jsonText:
		return JSONLines, nil
	case executor.Bytes.Typename():
		return Raw, nil
	}
	return "", fmt.Errorf("typename %s has no default framing: choose one with --framing or %s; "+
		"%q carries any record", typename, EnvFraming, Length)
}

// Typenames whose records are checked.
var (
	text     = executor.String.Typename()
	jsonText = executor.JSON[any]().Typename()
)

// Framings are the configured framings: by port name; by "in:NAME" or "out:NAME" if an input and an output
// share a name; and by "" for all other ports.
type Framings map[string]Framing

// ParseFramings reads settings separated by commas or spaces: FRAMING for all ports, or PORT=FRAMING,
// in:PORT=FRAMING, out:PORT=FRAMING for one port. The more specific setting wins, then the later one.
func ParseFramings(settings string) (Framings, error) {
	fs := Framings{}
	for _, s := range strings.FieldsFunc(settings, func(r rune) bool { return r == ',' || r == ' ' }) {
		port, framing, one := strings.Cut(s, "=")
		if !one {
			port, framing = "", s
		}
		if !slices.Contains(framings, Framing(framing)) {
			return nil, fmt.Errorf("unknown framing %q: use one of %v", framing, framings)
		}
		fs[port] = Framing(framing)
	}
	return fs, nil
}

// of returns a port's framing.
func (fs Framings) of(p port) (Framing, error) {
	for _, key := range []string{p.direction() + ":" + p.Name, p.Name, ""} {
		if f, ok := fs[key]; ok {
			return f, nil
		}
	}
	f, err := byTypename(p.Typename)
	if err != nil {
		err = fmt.Errorf("%s: %w", p, err)
	}
	return f, err
}

// strangers returns the settings for ports that a job does not have.
func (fs Framings) strangers(ports []port) []string {
	known := map[string]bool{"": true}
	for _, p := range ports {
		known[p.Name], known[p.direction()+":"+p.Name] = true, true
	}
	var out []string
	for key := range fs {
		if !known[key] {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// append appends a record in its frame.
func (f Framing) append(dst, record []byte) ([]byte, error) {
	switch f {
	case Lines:
		return appendEnded(dst, record, '\n', "a newline")
	case Nul:
		return appendEnded(dst, record, 0, "a zero byte")
	case Length:
		if uint64(len(record)) > math.MaxUint32 {
			return dst, errors.New("it is longer than 4 GiB")
		}
		return append(binary.BigEndian.AppendUint32(dst, uint32(len(record))), record...), nil
	case JSONLines:
		line := bytes.NewBuffer(dst)
		err := json.Compact(line, record)
		return append(line.Bytes(), '\n'), err
	}
	return append(dst, record...), nil
}

func appendEnded(dst, record []byte, end byte, name string) ([]byte, error) {
	if bytes.IndexByte(record, end) >= 0 {
		return dst, fmt.Errorf("it contains %s, which ends a record in this framing: choose another framing", name)
	}
	return append(append(dst, record...), end), nil
}
