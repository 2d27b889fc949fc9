package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
)

// progress tracks the daemon's messages about one build or push.
type progress struct {
	out io.Writer
	// step is the last step of the Dockerfile that was begun, id the built image.
	step, id string
}

// follow writes all messages of the daemon, line by line, and returns the failure that they report.
func (p *progress) follow(messages io.Reader) error {
	in := json.NewDecoder(messages)
	for {
		var m jsonstream.Message
		err := in.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read Docker's messages: %w", err)
		case m.Error != nil:
			return m.Error
		}
		p.note(m)
		if _, err := io.WriteString(p.out, text(m)); err != nil {
			return fmt.Errorf("write the progress: %w", err)
		}
	}
}

// text formats a message: the output of a step unchanged, and the state of a layer on its own line. The progress of
// layers is omitted.
func text(m jsonstream.Message) string {
	switch {
	case m.Status == "" || m.Progress != nil && *m.Progress != (jsonstream.Progress{}):
		return m.Stream
	case m.ID == "":
		return m.Status + "\n"
	}
	return m.ID + ": " + m.Status + "\n"
}

func (p *progress) note(m jsonstream.Message) {
	if step, ok := strings.CutPrefix(m.Stream, "Step "); ok {
		number, command, _ := strings.Cut(strings.TrimSpace(step), " : ")
		p.step = number + " (" + command + ")"
	}
	var made build.Result
	if m.Aux != nil && json.Unmarshal(*m.Aux, &made) == nil && made.ID != "" {
		p.id = made.ID
	}
}

// failed turns a failure reported by the daemon into a *BuildError.
func (p *progress) failed(err error) error {
	var told *jsonstream.Error
	if errors.As(err, &told) {
		return &BuildError{Step: p.step, Message: told.Message}
	}
	return err
}
