package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/contract"
)

func (g *Gateway) registerWebhooks(api huma.API) {
	tag := []string{"webhooks"}
	huma.Register(api, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/v1/webhooks", Tags: tag,
		Summary: "List webhooks, and what became of their deliveries",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body any }, error) {
		all, err := clientOf(ctx).Webhooks(ctx)
		if all == nil {
			all = []contract.WebhookStatus{}
		}
		return &struct{ Body any }{all}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-webhook", Method: http.MethodGet, Path: "/v1/webhooks/{name}", Tags: tag,
		Summary: "Get a webhook, and how many events are still to be delivered",
	}, func(ctx context.Context, in *Named) (*struct{ Body any }, error) {
		if err := wrongName("webhook", in.Name, nil); err != nil {
			return nil, answer(err)
		}
		w, err := clientOf(ctx).Webhook(ctx, in.Name)
		return &struct{ Body any }{w}, answer(err)
	})
	register(api, huma.Operation{
		OperationID: "apply-webhook", Method: http.MethodPut, Path: "/v1/webhooks/{name}", Tags: tag, RequestBody: documentBody("the webhook document"),
		Summary: "Add or replace a webhook",
	}, func(ctx context.Context, in *struct {
		Named
		Document
	}) (*struct{ Body any }, error) {
		if err := wrongName("webhook", in.Name, in.content); err != nil {
			return nil, answer(err)
		}
		applied, err := clientOf(ctx).ApplyWebhook(ctx, in.Name, in.content)
		return &struct{ Body any }{applied}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "remove-webhook", Method: http.MethodDelete, Path: "/v1/webhooks/{name}", Tags: tag, Summary: "Remove a webhook",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *Named) (*struct{}, error) {
		if err := wrongName("webhook", in.Name, nil); err != nil {
			return nil, answer(err)
		}
		return nil, answer(clientOf(ctx).RemoveWebhook(ctx, in.Name))
	})
	huma.Register(api, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{name}/test", Tags: tag,
		Summary: "Send a test to the receiver of a webhook",
	}, func(ctx context.Context, in *Named) (*struct{ Body any }, error) {
		if err := wrongName("webhook", in.Name, nil); err != nil {
			return nil, answer(err)
		}
		tested, err := clientOf(ctx).TestWebhook(ctx, in.Name)
		return &struct{ Body any }{tested}, answer(err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "rotate-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{name}/rotate", Tags: tag,
		Summary: "Give a webhook a new key", Description: "Deliveries are signed with the previous key, too, until the time in the answer.",
	}, func(ctx context.Context, in *Named) (*struct{ Body any }, error) {
		if err := wrongName("webhook", in.Name, nil); err != nil {
			return nil, answer(err)
		}
		rotated, err := clientOf(ctx).RotateWebhook(ctx, in.Name)
		return &struct{ Body any }{rotated}, answer(err)
	})
}
