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

// progress follows what the daemon says about one build or push.
type progress struct {
	out io.Writer
	// step is the last step of the Dockerfile that was begun, id the image that was made.
	step, id string
}

// follow tells all that the daemon says, line by line, and returns the failure that it tells of.
func (p *progress) follow(messages io.Reader) error {
	in := json.NewDecoder(messages)
	for {
		var m jsonstream.Message
		err := in.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("listen to Docker: %w", err)
		case m.Error != nil:
			return m.Error
		}
		p.note(m)
		if _, err := io.WriteString(p.out, text(m)); err != nil {
			return fmt.Errorf("tell the progress: %w", err)
		}
	}
}

// text is a message as it is told: what a step printed as it stands, the state of a layer on a line of its
// own. How far a layer has got is not told.
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

// failed turns a failure that the daemon told of into a *BuildError.
func (p *progress) failed(err error) error {
	var told *jsonstream.Error
	if errors.As(err, &told) {
		return &BuildError{Step: p.step, Message: told.Message}
	}
	return err
}
