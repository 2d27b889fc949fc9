package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/contract"
)

func (g *Gateway) registerUsage(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "get-usage", Method: http.MethodGet, Path: "/v1/usage", Tags: []string{"usage"},
		Summary:     "Get what the tenant and its users hold, and their limits",
		Description: "What is missing in limits is not limited. `users` are those who have flows that run or wait.",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body contract.Usage }, error) {
		usage, err := clientOf(ctx).Usage(ctx)
		return &struct{ Body contract.Usage }{usage}, answer(err)
	})
}
