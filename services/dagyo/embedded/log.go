package embedded

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"
)

// A logger passes the server's messages to zerolog. The server's notices are logged at the debug level:
// users of an embedded server do not need them.
type logger struct {
	log zerolog.Logger
	// fatal holds the first reason why the server cannot run.
	fatal chan string
	// refusals admits some messages about what clients may not do.
	refusals zerolog.Sampler
}

// refusalsPerMinute is how many messages about refused clients are logged as warnings. A client can cause any number;
// the others are logged at the debug level.
const refusalsPerMinute = 10

func newLogger(log zerolog.Logger) *logger {
	return &logger{
		log: log.With().Str("service", "nats").Logger(), fatal: make(chan string, 1),
		refusals: &zerolog.BurstSampler{Burst: refusalsPerMinute, Period: time.Minute},
	}
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debug().Msgf(format, v...) }
func (l *logger) Warnf(format string, v ...any)   { l.log.Warn().Msgf(format, v...) }
func (l *logger) Debugf(format string, v ...any)  { l.log.Debug().Msgf(format, v...) }
func (l *logger) Tracef(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }

func (l *logger) Errorf(format string, v ...any) {
	text := printable(fmt.Sprintf(format, v...))
	switch {
	case !refusal(text):
		l.log.Error().Msg(text)
	case l.refusals.Sample(zerolog.WarnLevel):
		l.log.Warn().Msg(text)
	default:
		l.log.Debug().Msg(text)
	}
}

// refusal reports whether a message is about what a client may not do. The third one is about a connection whose key was
// retired: it has no limits any more, and so may subscribe to nothing.
func refusal(text string) bool {
	return strings.Contains(text, " Violation - ") || strings.Contains(text, "authentication error") ||
		strings.Contains(text, "maximum subscriptions exceeded")
}

// longestLine bounds a message in bytes: it may contain a subject of a client.
const longestLine = 500

// printable returns a message without characters that a terminal interprets.
func printable(text string) string {
	if len(text) > longestLine {
		text = text[:longestLine] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// Fatalf keeps the reason for Start, and does not exit the process.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
