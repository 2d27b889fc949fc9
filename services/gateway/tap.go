package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/records"
)

const (
	// tapShown bounds what is sent of a record, and tapRecords and tapSent what is sent of a sample.
	tapShown   = 256 << 10
	tapRecords = 50
	tapSent    = 512 << 10
	// tapIdle is after how many looks without a frame it is checked whether the flow still runs.
	tapIdle = 5
)

func (g *Gateway) registerTap(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "tap-edge", Method: http.MethodGet, Path: "/v1/flows/{id}/tap", Tags: []string{"streams"}, Summary: "See samples of what passes on an edge",
		Description: "Server-sent events, one a second, until the flow ends: some records that passed. No part of the flow waits for it. `data` is a sample.",
	}, tapEdge)
}

type tapping struct {
	OneFlow
	Edge string `query:"edge" required:"true" doc:"the edge's writer: node.port, or inputs.name"`
}

// A Tapped is a sample of an edge.
type Tapped struct {
	Type    string         `json:"type" doc:"the typename of the records"`
	Records []TappedRecord `json:"records"`
	// More is how many complete records of the sample are left out.
	More   int `json:"more,omitempty"`
	Frames int `json:"frames" doc:"how many frames were looked at: 0 if nothing passed"`
}

// A TappedRecord is a record.
type TappedRecord struct {
	Base64 string `json:"base64" doc:"its first bytes, in Base64"`
	Size   int    `json:"size" doc:"its size in bytes"`
}

func tapEdge(ctx context.Context, in *tapping) (*huma.StreamResponse, error) {
	c := clientOf(ctx)
	t, err := c.Tap(ctx, in.ID, in.Edge)
	if err != nil {
		return nil, answer(err)
	}
	first, err := t.Look(ctx)
	if err != nil {
		return nil, answer(err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		out := goLive(hctx, eventStream)
		if err := out.samples(hctx.Context(), c, t, in.ID, first); err != nil {
			panic(http.ErrAbortHandler) // so that the answer does not look complete
		}
	}}, nil
}

// samples writes samples until the flow has ended.
func (l *live) samples(ctx context.Context, c *client.Client, t *client.Tap, flow string, s client.Sample) error {
	every := time.NewTicker(client.TapEvery)
	defer every.Stop()
	for idle := 0; ; {
		if idle++; s.Frames > 0 {
			idle = 0
		}
		if idle == tapIdle {
			idle = 0
			if status, err := c.Flow(ctx, flow); err == nil && status.Verdict != "" {
				return nil
			}
		}
		data, err := records.EncodeJSON(tapped(t.Type(), s))
		if err == nil {
			_, err = fmt.Fprintf(l, "event: sample\ndata: %s\n\n", data)
		}
		if err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if s, err = t.Look(ctx); err != nil {
			return err
		}
	}
}

func tapped(typename string, s client.Sample) Tapped {
	out := Tapped{Type: typename, Records: []TappedRecord{}, Frames: s.Frames}
	left := tapSent
	for i, r := range s.Records {
		shown := r[:min(len(r), tapShown)]
		if left -= len(shown); i == tapRecords || left < 0 {
			out.More = len(s.Records) - i
			break
		}
		out.Records = append(out.Records, TappedRecord{base64.StdEncoding.EncodeToString(shown), len(r)})
	}
	return out
}
