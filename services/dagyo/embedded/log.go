package embedded

import (
	"fmt"

	"github.com/rs/zerolog"
)

// A logger passes the server's messages to zerolog. The server's notices are logged at the debug level:
// users of an embedded server do not need them.
type logger struct {
	log zerolog.Logger
	// fatal holds the first reason why the server cannot run.
	fatal chan string
}

func newLogger(log zerolog.Logger) *logger {
	return &logger{log: log.With().Str("service", "nats").Logger(), fatal: make(chan string, 1)}
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debug().Msgf(format, v...) }
func (l *logger) Warnf(format string, v ...any)   { l.log.Warn().Msgf(format, v...) }
func (l *logger) Errorf(format string, v ...any)  { l.log.Error().Msgf(format, v...) }
func (l *logger) Debugf(format string, v ...any)  { l.log.Debug().Msgf(format, v...) }
func (l *logger) Tracef(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }

// Fatalf keeps the reason for Start, and does not exit the process.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
