package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// Roles are all workers by name.
func Roles() map[string]role.Worker {
	return map[string]role.Worker{
		"server":    server,
		"service":   service,
		"core-send": loaded(coreSend), "core-recv": loaded(coreRecv),
		"js-send": loaded(jsSend), "js-recv": loaded(jsRecv),
		"wm-source": loaded(wmSource), "wm-map": loaded(wmMap), "wm-sink": loaded(wmSink),
		"edge-send": loaded(edgeSend), "edge-recv": loaded(edgeRecv), "edge-fill": loaded(edgeFill),
		"edge-stall":  loaded(edgeStall),
		"beside-send": loaded(besideSend), "beside-recv": loaded(besideRecv),
		"grpc-send": loaded(grpcSend), "grpc-recv": loaded(grpcRecv),
		"source": loaded(source), "map": loaded(mapper), "sink": loaded(sink),
	}
}

// A prepared worker is connected. run does the work, and end releases its resources.
type prepared struct {
	run func(context.Context, *role.Session) (Result, error)
	end func()
}

// loaded returns a worker for a function that prepares for a load.
func loaded(prepare func(context.Context, Load) (prepared, error)) role.Worker {
	return func(ctx context.Context, s *role.Session) error {
		c, err := s.Expect(ctx, "load")
		if err != nil {
			return err
		}
		var l Load
		if err := c.Decode(&l); err != nil {
			return fmt.Errorf("read the load: %w", err)
		}
		p, err := prepare(ctx, l)
		if err != nil {
			return err
		}
		defer p.end()
		return serve(ctx, s, l, p)
	}
}

func serve(ctx context.Context, s *role.Session, l Load, p prepared) error {
	if err := s.Reply("ready"); err != nil {
		return err
	}
	if _, err := s.Expect(ctx, role.Go); err != nil {
		return err
	}
	profile, err := startProfile(l.Profile)
	if err != nil {
		return err
	}
	result, err := p.run(ctx, s)
	if err := errors.Join(err, profile.stop()); err != nil {
		return err
	}
	return s.Reply(result)
}
