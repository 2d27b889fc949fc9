package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
)

// A DeniedError means that the credentials do not allow to publish on a subject.
type DeniedError struct{ Subject string }

func (e *DeniedError) Error() string {
	may := "no role of a person may do that"
	if roles := access.Publishers(e.Subject); len(roles) > 0 {
		names := make([]string, len(roles))
		for i, r := range roles {
			names[i] = string(r)
		}
		may = "it takes the role " + strings.Join(names, " or ")
	}
	return fmt.Sprintf("your credentials do not allow to publish on %s: %s", e.Subject, may)
}

// denials tells waiting requests that the server has refused what they have published: it says so, but does not answer.
type denials struct {
	mu      sync.Mutex
	waiting map[string]map[*context.CancelCauseFunc]struct{} // by subject
}

// heed returns a context that ends with a *DeniedError as its cause when the server refuses a publication on the subject.
func (d *denials) heed(ctx context.Context, subject string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = make(map[string]map[*context.CancelCauseFunc]struct{})
	}
	if d.waiting[subject] == nil {
		d.waiting[subject] = make(map[*context.CancelCauseFunc]struct{})
	}
	d.waiting[subject][&cancel] = struct{}{}
	return ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting[subject], &cancel)
		if len(d.waiting[subject]) == 0 {
			delete(d.waiting, subject)
		}
		cancel(nil)
	}
}

// handle is the connection's error handler. All errors but refusals are those of waiting calls, too.
func (d *denials) handle(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	_, rest, publish := strings.Cut(err.Error(), `Publish to "`)
	subject, _, quoted := strings.Cut(rest, `"`)
	if !publish || !quoted {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for cancel := range d.waiting[subject] {
		(*cancel)(&DeniedError{subject})
	}
}

// denied returns the refusal that has ended a context, or else the error.
func denied(ctx context.Context, err error) error {
	var d *DeniedError
	if err != nil && errors.As(context.Cause(ctx), &d) {
		return d
	}
	return err
}
