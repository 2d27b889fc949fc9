package contract

import "fmt"

// PlainEnding is the reason of an exit if only its code and signal are known.
func PlainEnding(code int, signal string) string {
	if signal != "" {
		return "it was killed by " + signal
	}
	return fmt.Sprintf("it exited with code %d", code)
}

// Ending describes how the executor ended: "exited with code 3: it ran out of memory".
func (d *ExecutorExited) Ending() string { return d.Way() + d.because() }

// Way is Ending without the reason.
func (d *ExecutorExited) Way() string {
	switch {
	case d.Signal != "":
		return "was ended by signal " + d.Signal
	case d.Code >= 0:
		return fmt.Sprintf("exited with code %d", d.Code)
	default:
		return "ended (" + d.Reason + ")"
	}
}

// because adds a reason that the code and signal do not show, such as a lack of memory.
func (d *ExecutorExited) because() string {
	if d.Reason == "" || d.Code < 0 && d.Signal == "" || d.Reason == PlainEnding(d.Code, d.Signal) {
		return ""
	}
	return ": " + d.Reason
}
