package tap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// An Op is what a message of the protocol does.
type Op string

// The operations that are told apart. HPUB and HMSG are PUB and MSG with a header.
const (
	Connect Op = "CONNECT" // the client logs in
	Pub     Op = "PUB"     // the client publishes
	Sub     Op = "SUB"     // the client subscribes
	Unsub   Op = "UNSUB"   // the client's subscription ends
	Msg     Op = "MSG"     // the server delivers
	Err     Op = "-ERR"    // the server refuses something
	Other   Op = ""        // all else: never written down
)

// maxPayload bounds a message, in octets: no nats-server takes more. A line has to fit into the buffer
// of what read reads from.
const maxPayload = 64 << 20

// A Message is one operation of the protocol.
type Message struct {
	At   time.Time
	Conn int // counts the client's connections from 1
	Op   Op
	// Subject and Reply are those of Pub, Sub and Msg; SID names the subscription of Sub, Unsub and Msg.
	Subject, Reply, SID string
	Header              nats.Header
	// Data is the payload of Pub and Msg, the options of Connect in JSON, and the text of Err.
	Data []byte
	// Size is the length of Data, also where the journal keeps only its beginning.
	Size int

	line string // as it came, for what has no fields
	head []byte // the header's octets as they came
}

// Plain returns the subject without the sender that it may begin with.
func (m *Message) Plain() string {
	_, plain := contract.SplitSender(m.Subject)
	return plain
}

// IsEvent reports whether the subject is one of an executor's events.
func (m *Message) IsEvent() bool {
	plain := m.Plain()
	return strings.HasPrefix(plain, "job.") || strings.HasPrefix(plain, "executor.")
}

// parse reads the line of a message, and returns the length of what follows it, -1 for nothing, and how
// much of that is the header.
func (m *Message) parse(line string) (payload, header int, err error) {
	m.line = line
	op, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	f := strings.Fields(rest)
	switch strings.ToUpper(op) {
	case "PUB":
		return m.published(f, 1)
	case "HPUB":
		return m.published(f, 2)
	case "MSG":
		return m.delivered(f, 1)
	case "HMSG":
		return m.delivered(f, 2)
	case "CONNECT":
		m.Op, m.Data = Connect, []byte(rest)
	case "-ERR":
		m.Op, m.Data = Err, []byte(strings.Trim(rest, "'"))
	case "SUB":
		return -1, 0, m.subscribed(f)
	case "UNSUB":
		if len(f) > 0 {
			m.Op, m.SID = Unsub, f[0]
		}
	}
	return -1, 0, nil
}

func (m *Message) subscribed(f []string) error {
	if len(f) < 2 {
		return fmt.Errorf("a SUB with %d fields", len(f))
	}
	m.Op, m.Subject, m.SID = Sub, f[0], f[len(f)-1]
	return nil
}

// published reads "subject [reply] [header] size".
func (m *Message) published(f []string, sizes int) (payload, header int, err error) {
	if len(f) < 1+sizes || len(f) > 2+sizes {
		return 0, 0, fmt.Errorf("a PUB with %d fields", len(f))
	}
	m.Op, m.Subject = Pub, f[0]
	if len(f) == 2+sizes {
		m.Reply = f[1]
	}
	return lengths(f[len(f)-sizes:])
}

// delivered reads "subject sid [reply] [header] size".
func (m *Message) delivered(f []string, sizes int) (payload, header int, err error) {
	if len(f) < 2+sizes || len(f) > 3+sizes {
		return 0, 0, fmt.Errorf("a MSG with %d fields", len(f))
	}
	m.Op, m.Subject, m.SID = Msg, f[0], f[1]
	if len(f) == 3+sizes {
		m.Reply = f[2]
	}
	return lengths(f[len(f)-sizes:])
}

func lengths(f []string) (payload, header int, err error) {
	payload, err = strconv.Atoi(f[len(f)-1])
	if len(f) == 2 && err == nil {
		header, err = strconv.Atoi(f[0])
	}
	if err == nil && (header < 0 || header > payload || payload > maxPayload) {
		err = fmt.Errorf("a header of %d octets in a payload of %d", header, payload)
	}
	return payload, header, err
}

// read reads the next message.
func read(r *bufio.Reader) (m Message, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return m, err
	}
	payload, header, err := m.parse(string(line))
	if err != nil || payload < 0 {
		return m, err
	}
	octets := make([]byte, payload+2)
	if _, err := io.ReadFull(r, octets); err != nil {
		return m, err
	}
	m.head, m.Data, m.Size = octets[:header:header], octets[header:payload], payload-header
	m.At = time.Now()
	if header > 0 {
		m.Header = parseHeader(m.head)
	}
	return m, nil
}

// parseHeader reads a header leniently: what is no header is nothing that anybody looks for. A status
// becomes the fields Status and Description, as in nats.go.
func parseHeader(b []byte) nats.Header {
	h := nats.Header{}
	lines := strings.Split(string(b), "\r\n")
	if status := strings.TrimSpace(strings.TrimPrefix(lines[0], "NATS/1.0")); status != "" {
		code, text, _ := strings.Cut(status, " ")
		h.Set("Status", code)
		h.Set("Description", text)
	}
	for _, line := range lines[1:] {
		if key, value, ok := strings.Cut(line, ":"); ok {
			h[key] = append(h[key], strings.TrimSpace(value))
		}
	}
	return h
}

// SetHeader replaces a field of the header; with an empty value it goes.
func (m *Message) SetHeader(key, value string) {
	var b bytes.Buffer
	b.WriteString("NATS/1.0\r\n")
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header[key] = []string{value}
	for k, values := range m.Header {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(&b, "%s: %s\r\n", k, v)
			}
		}
	}
	b.WriteString("\r\n")
	m.head = b.Bytes()
}

// encode returns the message's octets.
func (m *Message) encode() []byte {
	switch m.Op {
	case Pub, Msg:
	default:
		return []byte(m.line)
	}
	var b bytes.Buffer
	if len(m.head) > 0 {
		b.WriteByte('H')
	}
	b.WriteString(string(m.Op) + " " + m.Subject)
	if m.Op == Msg {
		b.WriteString(" " + m.SID)
	}
	if m.Reply != "" {
		b.WriteString(" " + m.Reply)
	}
	if len(m.head) > 0 {
		fmt.Fprintf(&b, " %d", len(m.head))
	}
	fmt.Fprintf(&b, " %d\r\n", len(m.head)+len(m.Data))
	b.Write(m.head)
	b.Write(m.Data)
	b.WriteString("\r\n")
	return b.Bytes()
}
