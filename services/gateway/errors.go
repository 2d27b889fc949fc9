package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/stream"
)

const problemType = "application/problem+json"

// An Error is an answer about a problem (RFC 9457).
type Error struct {
	Status int    `json:"status" doc:"the HTTP status"`
	Title  string `json:"title" doc:"the HTTP status in words"`
	Detail string `json:"detail" doc:"what is wrong, and what to do"`
	// Problems are those of a document.
	Problems problem.List `json:"problems,omitempty" doc:"what is wrong with a document"`
}

func (e *Error) Error() string { return e.Detail }

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return e.Status }

// ContentType implements huma.ContentTypeFilter.
func (e *Error) ContentType(string) string { return problemType }

func fail(status int, detail string) *Error {
	return &Error{Status: status, Title: http.StatusText(status), Detail: detail}
}

// errUsage is an error of a request.
type errUsage struct{ error }

func usage(err error) error { return errUsage{err} }

// explain returns the answer for an error of the client library.
func explain(err error) *Error {
	var own *Error
	var problems problem.List
	var denied *client.DeniedError
	var bad errUsage
	var refused *client.Refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &problems):
		e := fail(http.StatusUnprocessableEntity, "the document is invalid: see problems")
		e.Problems = problems
		return e
	case errors.As(err, &refused):
		return fail(refusedStatus(refused.Code), err.Error())
	case errors.As(err, &large), errors.Is(err, nats.ErrMaxPayload):
		return fail(http.StatusRequestEntityTooLarge, err.Error())
	case errors.As(err, &denied), errors.Is(err, stream.ErrSealed), errors.Is(err, client.ErrNotTapped):
		return fail(http.StatusForbidden, err.Error())
	case errors.As(err, &bad):
		return fail(http.StatusBadRequest, err.Error())
	case errors.Is(err, errNoCredentials), errors.Is(err, errBadToken), errors.Is(err, client.ErrRefused):
		return fail(http.StatusUnauthorized, err.Error())
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fail(http.StatusUnauthorized, "NATS does not accept these credentials: they have expired, were revoked, or belong to another installation")
	case errors.Is(err, errTooFast):
		return fail(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, client.ErrUnknownFlow), errors.Is(err, client.ErrUnknownProgdef), errors.Is(err, client.ErrUnknownType), errors.Is(err, client.ErrUnknownWebhook),
		errors.Is(err, client.ErrUnknownEdge), errors.Is(err, client.ErrUnknownNode):
		return fail(http.StatusNotFound, err.Error())
	case errors.Is(err, client.ErrIDTaken), errors.Is(err, client.ErrOtherUser):
		return fail(http.StatusConflict, err.Error())
	case errors.Is(err, client.ErrCleaned), errors.Is(err, stream.ErrGone):
		return fail(http.StatusGone, err.Error())
	case errors.Is(err, client.ErrNoAnswer), errors.Is(err, client.ErrNotInstalled), errors.Is(err, client.ErrNoLeader), errors.Is(err, client.ErrNoServer),
		errors.Is(err, errCrowded), errors.Is(err, errStopping), errors.Is(err, nats.ErrConnectionClosed):
		return fail(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, client.ErrUnknownOutcome), errors.Is(err, context.DeadlineExceeded):
		return fail(http.StatusGatewayTimeout, err.Error())
	}
	return fail(http.StatusInternalServerError, err.Error())
}

// refusedStatus is the status of an error answer of a service.
func refusedStatus(code string) int {
	if n, err := strconv.Atoi(code); err == nil && n >= 400 && n < 600 {
		return n
	}
	return http.StatusInternalServerError
}

// answer turns an error into one of huma, nil into nil.
func answer(err error) error {
	if err == nil {
		return nil
	}
	return explain(err)
}
