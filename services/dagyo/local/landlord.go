package local

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// A Landlord adds, changes and removes the tenants of a data directory, whether Dagyo is running there or not.
type Landlord struct {
	Keys *keyring.Keyring
	lock *os.File     // if Dagyo does not run
	link *broker.Link // if it does
	told *nats.Subscription
}

// OpenLandlord opens a data directory. If Dagyo runs there, changes reach it at once; if not, it cannot be started
// until the Landlord is closed.
func OpenLandlord(ctx context.Context, dir string) (*Landlord, error) {
	keys, err := keyring.Find(dir)
	if err != nil {
		return nil, err
	}
	l := &Landlord{Keys: keys}
	url, err := l.occupy(ctx, dir)
	if err != nil {
		return nil, err
	}
	if url != "" {
		l.link, err = connectSystem(ctx, l.Keys, url, access.Landlord)
	}
	if l.link != nil {
		l.told, err = l.link.SubscribeSync(access.SubjectTenant("*"))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// occupy takes the lock of the directory, or returns the address of the server if Dagyo runs there.
func (l *Landlord) occupy(ctx context.Context, dir string) (url string, err error) {
	for ctx.Err() == nil {
		l.lock, err = takeLock(dir)
		if !errors.Is(err, ErrInUse) {
			return "", err
		}
		if url, err = address(dir); url != "" || err != nil {
			return url, err
		}
		select { // it is starting or stopping
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return "", context.Cause(ctx)
}

// Running reports whether Dagyo is running.
func (l *Landlord) Running() bool { return l.link != nil }

// Publish tells a running Dagyo what was changed of a tenant; otherwise the next start finds it.
func (l *Landlord) Publish(ctx context.Context, tenant string) error {
	if l.link == nil {
		return nil
	}
	return l.Keys.Publish(ctx, l.link.Conn, tenant)
}

// Clear deletes what a running Dagyo has stored of removed tenants; otherwise the next start does that.
func (l *Landlord) Clear(ctx context.Context) error {
	if l.link == nil {
		return nil
	}
	return l.Keys.Clear(ctx, l.link.Conn)
}

// Await waits until services say something of a tenant, such as access.TenantReady, at most until the context ends. It
// returns at once if Dagyo does not run.
func (l *Landlord) Await(ctx context.Context, id, what string) error {
	for l.link != nil {
		m, err := l.told.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		if m.Subject == access.SubjectTenant(id) && string(m.Data) == what {
			return nil
		}
	}
	return nil
}

// Close closes it.
func (l *Landlord) Close() {
	if l.link != nil {
		l.link.Close()
	}
	if l.lock != nil {
		_ = l.lock.Close()
	}
}
