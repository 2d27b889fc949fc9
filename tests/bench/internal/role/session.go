// Package role runs this program again in another role, and communicates with it by JSON lines on its standard input
// and output. A role exits when its input is closed.
package role

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine limits one line in either direction, in bytes.
const maxLine = 16 << 20

// Commands that every role accepts, one per line.
const (
	Go   = "go"   // start the prepared work
	Stop = "stop" // end it
)

// A command is a line to a role.
type command struct {
	Verb string          `json:"verb"`
	Arg  json.RawMessage `json:"arg,omitempty"`
}

// A reply is a line from a role.
type reply struct {
	Data  json.RawMessage `json:"data,omitempty"`
	Error string          `json:"error,omitempty"`
}

// A Command is a command as a role receives it.
type Command struct {
	Verb string
	arg  json.RawMessage
}

// Decode reads the command's argument.
func (c Command) Decode(v any) error { return json.Unmarshal(c.arg, v) }

// A Session is the role's side of the connection. It is not safe for concurrent use.
type Session struct {
	commands chan Command
	out      *json.Encoder
}

// A Worker does the work of a role. Its error is reported to the parent.
type Worker func(context.Context, *Session) error

// Serve runs a worker until it returns or the input ends. It returns the process's exit code.
func Serve(in io.Reader, out io.Writer, work Worker) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	s := &Session{commands: make(chan Command, 16), out: json.NewEncoder(out)}
	go s.read(in, cancel) // exits with the process at the latest
	if err := work(ctx, s); err != nil {
		_ = s.out.Encode(reply{Error: err.Error()}) // the parent may have exited
		return 1
	}
	return 0
}

var errInputEnded = errors.New("the parent has closed the input")

func (s *Session) read(in io.Reader, end context.CancelCauseFunc) {
	defer end(errInputEnded)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return
		}
		s.commands <- Command{Verb: c.Verb, arg: c.Arg}
	}
}

// Next waits for the next command.
func (s *Session) Next(ctx context.Context) (Command, error) {
	select {
	case c := <-s.commands:
		return c, nil
	case <-ctx.Done():
		return Command{}, context.Cause(ctx)
	}
}

// Expect waits for the next command, which must have the given name.
func (s *Session) Expect(ctx context.Context, verb string) (Command, error) {
	c, err := s.Next(ctx)
	if err == nil && c.Verb != verb {
		err = fmt.Errorf("got command %q, want %q", c.Verb, verb)
	}
	return c, err
}

// Reply sends a reply to the parent.
func (s *Session) Reply(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.out.Encode(reply{Data: data})
}
