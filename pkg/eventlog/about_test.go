package eventlog

import (
	"bytes"
	"testing"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/trace"
)

func TestAbout(t *testing.T) {
	of := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "")
	for _, tt := range []struct {
		about contract.Event
		want  string
	}{
		{contract.Event{}, `{"level":"warn"}`},
		{contract.Event{Type: contract.TypeProgdefApplied, Subject: "greet"}, `{"level":"warn"}`},
		{contract.Event{Type: contract.TypeFlowPlanned, Subject: "f"}, `{"level":"warn","flow":"f"}`},
		{contract.Event{Type: contract.TypeJobPanic, Subject: "f", Trace: of}, `{"level":"warn","flow":"f","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}`},
		{contract.Event{Type: "act.report", Subject: "f.job", Trace: of}, `{"level":"warn","flow":"f","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}`},
		{contract.Event{Type: "act.store", Subject: "history"}, `{"level":"warn"}`},
	} {
		var line bytes.Buffer
		log := zerolog.New(&line)
		log.Warn().EmbedObject(About(tt.about)).Send()
		if got := string(bytes.TrimSpace(line.Bytes())); got != tt.want {
			t.Errorf("%s; want %s", got, tt.want)
		}
	}
}
