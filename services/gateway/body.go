package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// A Document is the body of a request, whatever its content type says: curl says that it is a form.
type Document struct {
	content []byte
}

// documentTime bounds the time in which a document is received.
const documentTime = time.Minute

// Resolve implements huma.Resolver.
func (d *Document) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(documentTime)) // net/http supports it
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	var err error
	d.content, err = io.ReadAll(io.LimitReader(ctx.BodyReader(), documentLimit+1))
	if err != nil {
		return []error{fail(http.StatusBadRequest, "read the body: "+err.Error())}
	}
	if len(d.content) > documentLimit {
		return []error{fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", documentLimit))}
	}
	return nil
}

// documentBody describes the body of a request in the API's description.
func documentBody(about string) *huma.RequestBody {
	return &huma.RequestBody{
		Required: true, Description: about,
		Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
	}
}

// register registers an operation whose body huma must not read, and describes the body.
func register[I, O any](api huma.API, o huma.Operation, handle func(context.Context, *I) (*O, error)) {
	body := o.RequestBody
	o.RequestBody = nil
	huma.Register(api, o, handle)
	item := api.OpenAPI().Paths[o.Path]
	for _, described := range []*huma.Operation{item.Post, item.Put} {
		if described != nil && described.OperationID == o.OperationID {
			described.RequestBody = body
		}
	}
}

// streamBody describes a body that is a stream of records.
func streamBody(mediaType, about string) *huma.RequestBody {
	return &huma.RequestBody{
		Required: true, Description: about,
		Content: map[string]*huma.MediaType{mediaType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}
