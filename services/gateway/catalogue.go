package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

func (g *Gateway) registerCatalogue(api huma.API) {
	tag := []string{"catalogue"}
	huma.Register(api, huma.Operation{
		OperationID: "list-progdefs", Method: http.MethodGet, Path: "/v1/progdefs", Tags: tag, Summary: "List progdefs",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body any }, error) {
		all, err := clientOf(ctx).Catalog(ctx)
		if all == nil {
			all = []contract.Published{}
		}
		return &struct{ Body any }{all}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-progdef", Method: http.MethodGet, Path: "/v1/progdefs/{name}", Tags: tag, Summary: "Get a progdef",
	}, func(ctx context.Context, in *Named) (*struct{ Body any }, error) {
		p, err := clientOf(ctx).Progdef(ctx, in.Name)
		return &struct{ Body any }{p}, answer(err)
	})
	register(api, huma.Operation{
		OperationID: "apply-progdef", Method: http.MethodPut, Path: "/v1/progdefs/{name}", Tags: tag, RequestBody: documentBody("the progdef document"),
		Summary: "Add or replace a progdef",
	}, func(ctx context.Context, in *struct {
		Named
		Document
	}) (*struct{ Body any }, error) {
		err := wrongName("progdef", in.Name, in.content)
		var applied any
		if err == nil {
			applied, err = clientOf(ctx).Apply(ctx, in.Name, in.content)
		}
		if err != nil {
			return nil, answer(err)
		}
		return &struct{ Body any }{applied}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "remove-progdef", Method: http.MethodDelete, Path: "/v1/progdefs/{name}", Tags: tag, Summary: "Remove a progdef",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *Named) (*struct{}, error) {
		if err := wrongName("progdef", in.Name, nil); err != nil {
			return nil, answer(err)
		}
		return nil, answer(clientOf(ctx).Remove(ctx, in.Name))
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-capacity", Method: http.MethodGet, Path: "/v1/progdefs/{name}/executors", Tags: tag,
		Summary: "Get the executors and slots of a progdef, by revision, the current one first",
	}, func(ctx context.Context, in *Named) (*struct{ Body any }, error) {
		all, err := clientOf(ctx).Capacity(ctx, in.Name)
		if all == nil {
			all = []contract.Capacity{}
		}
		return &struct{ Body any }{all}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-executors", Method: http.MethodGet, Path: "/v1/executors", Tags: tag,
		Summary: "Get the executors and slots of all progdefs",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body any }, error) {
		all, err := clientOf(ctx).Capacity(ctx, "")
		if all == nil {
			all = []contract.Capacity{}
		}
		return &struct{ Body any }{all}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-types", Method: http.MethodGet, Path: "/v1/types", Tags: tag, Summary: "List documented types",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body any }, error) {
		all, err := clientOf(ctx).Types(ctx)
		if all == nil {
			all = []contract.TypeLine{}
		}
		return &struct{ Body any }{all}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-type", Method: http.MethodGet, Path: "/v1/types/{name}", Tags: tag, Summary: "Get the document of a type",
	}, func(ctx context.Context, in *Named) (*struct{ Body any }, error) {
		t, err := clientOf(ctx).Type(ctx, in.Name)
		return &struct{ Body any }{t}, answer(err)
	})
	register(api, huma.Operation{
		OperationID: "find-compatible", Method: http.MethodPost, Path: "/v1/compatible", Tags: tag, RequestBody: documentBody("a port of a flow"),
		Summary: "Find the ports that could be connected to a port of a flow",
	}, func(ctx context.Context, in *struct{ Document }) (*struct{ Body any }, error) {
		found, err := clientOf(ctx).Compatible(ctx, in.content)
		if err == nil && len(found.Problems) > 0 {
			err = errors.Join(found.Problems)
		}
		return &struct{ Body any }{found}, answer(err)
	})
}

// Named names a progdef, a type or a webhook.
type Named struct {
	Name string `path:"name"`
}

// wrongName returns what is wrong with a request about something of a kind, before anything is published. doc is nil if the
// request has none.
func wrongName(kind, name string, doc []byte) error {
	if !document.ValidName(name) {
		return usage(errors.New(document.Quote(name) + " is not the name of a " + kind + ": it must match " + document.NamePattern))
	}
	if doc == nil {
		return nil
	}
	if !json.Valid(doc) {
		return usage(errors.New("the document is not JSON"))
	}
	var named struct{ Name any }
	if err := json.Unmarshal(doc, &named); err == nil && named.Name != nil && named.Name != name {
		return usage(errors.New("the document is not named " + name + ", as the path is"))
	}
	return nil
}
