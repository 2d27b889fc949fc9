package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// IsStop reports whether a message on a job's stop subject stops the job.
func IsStop(m *nats.Msg) bool { return string(m.Data) != contract.Running }

// Stopped reports whether a job's flow was stopped or cleaned up. If it is called after subscribing to the stop
// subject, no stop is missed. It is one direct get: cheap enough for every job.
func Stopped(ctx context.Context, js jetstream.JetStream, job *contract.Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultAckTimeout)
	defer cancel()
	stream := job.StopStream()
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+stream+"."+job.Stop), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		err := checkStream(ctx, js, stream)
		return errors.Is(err, ErrGone), err
	case err != nil:
		return false, fmt.Errorf("read the stop in %s: %w", stream, err)
	}
	switch code := m.Header.Get("Status"); {
	case code == "":
		return IsStop(m), nil
	case code == "404" && job.Stream == "": // a flow's own stream, in which only a stop is stored
		return false, nil
	case code == "404":
		return cleanedUp(ctx, js, stream, job.Stop)
	default:
		return false, fmt.Errorf("read the stop in %s: status %s", stream, code)
	}
}

// cleanedUp reports whether the subject of a stop holds nothing, or a stop. It asks the stream's leader, since a
// replica that answers direct gets may be behind.
func cleanedUp(ctx context.Context, js jetstream.JetStream, stream, stop string) (bool, error) {
	request, err := json.Marshal(map[string]string{"last_by_subj": stop})
	if err != nil {
		return false, err
	}
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "STREAM.MSG.GET."+stream), request)
	if err != nil {
		return false, fmt.Errorf("read the stop in %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return false, fmt.Errorf("read the stop in %s: %w", stream, err)
	}
	switch e := answer.Error; {
	case e == nil:
		return string(answer.Message.Data) != contract.Running, nil
	case e.ErrorCode == jetstream.JSErrCodeMessageNotFound, e.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return true, nil
	default:
		return false, fmt.Errorf("read the stop in %s: %w", stream, e)
	}
}
