package landlord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/platform"
	"github.com/dagyo/dagyo/services/dagyo/provision"
)

// Place is where an installation has its keys.
type Place struct {
	// Data is the data directory of `dagyo up`, or the folder of `dagyo init auth`.
	Data string
	// Namespace, if not "", is that of the Secrets with the keys, instead of Data. Kubeconfig may be "".
	Namespace, Kubeconfig string
	// Server is the address of the NATS server of services that run by themselves.
	Server string
}

// A Landlord has the keys of an installation.
type Landlord struct {
	Keys  *keyring.Keyring
	place Place
	// apart is true if services run by themselves.
	apart bool
	// ca is the file with the certificates to verify the server with, "" if it has none.
	ca       string
	secrets  *provision.Secrets
	version  provision.Version // of the keys in the Secrets
	scrap    string            // the folder into which they were copied
	changing io.Closer         // keeps others from changing the keys
	// of OpenAll:
	lock  io.Closer // if `dagyo up` does not run in the data directory
	link  *broker.Link
	told  *nats.Subscription
	heard map[string]bool
}

// Open returns the keys of an installation, to read them.
func Open(ctx context.Context, p Place) (*Landlord, error) {
	l := &Landlord{place: p, heard: make(map[string]bool)}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// OpenToChange is Open for changes that neither the server nor the services must know of.
func OpenToChange(ctx context.Context, p Place) (*Landlord, error) {
	l, err := Open(ctx, p)
	if err != nil {
		return nil, err
	}
	if l.changing, err = l.Keys.Lock(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Landlord) open(ctx context.Context) (err error) {
	if l.place.Namespace != "" {
		if l.scrap, err = os.MkdirTemp("", "dagyo-keys-"); err != nil {
			return err
		}
		l.place.Data = l.scrap
		secrets, err := provision.Cluster(l.place.Kubeconfig, l.place.Namespace)
		if err != nil {
			return err
		}
		l.secrets = &secrets
		if l.version, err = secrets.Fetch(ctx, l.scrap); err != nil {
			return err
		}
	}
	l.ca = provision.AuthorityFile(l.place.Data)
	l.apart = l.secrets != nil || provision.Made(l.place.Data)
	l.Keys, err = keyring.Find(l.place.Data)
	if errors.Is(err, keyring.ErrNoKeys) && l.secrets != nil {
		err = fmt.Errorf("there are no keys in the namespace %s: they are made when Dagyo first starts there", l.place.Namespace)
	}
	return err
}

// OpenAll is Open for changes that the server and the services must know of. If `dagyo up` runs in the data directory,
// they reach it at once; if not, it cannot be started until the Landlord is closed. Of services that run by themselves,
// the NATS server must run.
func OpenAll(ctx context.Context, p Place) (*Landlord, error) {
	l, err := OpenToChange(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := l.connect(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Landlord) connect(ctx context.Context) (err error) {
	var url string
	if l.apart {
		url = l.place.Server
	} else if l.lock, url, err = local.Occupy(ctx, l.place.Data); err != nil || url == "" {
		return err
	}
	l.link, err = local.ConnectSystem(ctx, l.Keys, url, l.Access(), access.Landlord)
	if err == nil {
		l.told, err = l.link.SubscribeSync(access.SubjectTenant("*"))
	}
	if err == nil && l.apart { // else it would be noticed after the keys were changed
		_, err = tenancy.Claims(ctx, l.link.Conn)
	}
	return err
}

// Authority returns the certificates to verify the server with, nil if it has none.
func (l *Landlord) Authority() ([]byte, error) {
	if l.ca == "" {
		return nil, nil
	}
	return os.ReadFile(l.ca)
}

// Access is how to connect to the server, but for credentials.
func (l *Landlord) Access() broker.Access {
	return broker.Access{CA: l.ca}
}

// Running reports whether there is a server that is told of changes.
func (l *Landlord) Running() bool { return l.link != nil }

// Apart reports whether services run by themselves.
func (l *Landlord) Apart() bool { return l.apart }

// Publish stores what was changed where services and the server find it when they start, and tells the server of the
// named tenants, or of all. A `dagyo up` that does not run finds it at its next start.
func (l *Landlord) Publish(ctx context.Context, tenants ...string) error {
	if err := l.store(ctx); err != nil {
		return err
	}
	if l.link == nil {
		return nil
	}
	return l.Keys.Publish(ctx, l.link.Conn, l.Access(), tenants...)
}

// store stores the keys, and what is signed with them, where services that run by themselves find it.
func (l *Landlord) store(ctx context.Context) error {
	if !l.apart {
		return nil
	}
	if _, err := provision.Refresh(l.place.Data, l.Keys); err != nil {
		return err
	}
	if l.secrets == nil {
		return nil
	}
	var err error
	l.version, err = l.secrets.Store(ctx, l.place.Data, l.version)
	return err
}

// Keep keeps changes of the keys that neither the server nor the services must know of.
func (l *Landlord) Keep(ctx context.Context) (err error) {
	if l.secrets != nil {
		l.version, err = l.secrets.StoreKeys(ctx, l.place.Data, l.version)
	}
	return err
}

// Clear deletes what the server has stored of a tenant that was removed; a `dagyo up` that does not run does that at its next
// start.
func (l *Landlord) Clear(ctx context.Context, id string) error {
	if l.link == nil {
		return nil
	}
	if err := l.Keys.Clear(ctx, l.link.Conn, id); err != nil {
		return err
	}
	return l.store(ctx)
}

// Await waits until services have said all of that about a tenant, at most until the context ends. It returns at once if
// nothing is running.
func (l *Landlord) Await(ctx context.Context, id string, what ...string) error {
	for l.link != nil && slices.ContainsFunc(what, func(w string) bool { return !l.heard[id+" "+w] }) {
		m, err := l.told.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		l.heard[strings.TrimPrefix(m.Subject, access.SubjectTenant(""))+" "+string(m.Data)] = true
	}
	return nil
}

// AwaitServed waits until all services have begun to serve what was published of a tenant.
func (l *Landlord) AwaitServed(ctx context.Context, t keyring.Tenant) error {
	var what []string
	for _, service := range client.Services() {
		what = append(what, access.TenantServed+" "+service)
	}
	return l.Await(ctx, t.ID, what...)
}

// AwaitAll waits until all services serve what was published of every tenant; those of `dagyo up` also until it has new
// credentials itself.
func (l *Landlord) AwaitAll(ctx context.Context) error {
	all, err := l.Keys.Tenants()
	if err != nil {
		return err
	}
	for _, t := range all {
		if err := l.AwaitServed(ctx, t); err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		if !l.apart && t.Name == keyring.DefaultTenant {
			if err := l.Await(ctx, t.ID, access.TenantReady); err != nil {
				return err
			}
		}
	}
	return nil
}

// AwaitReady waits until a tenant that was added is served and has the progdefs of the platform.
func (l *Landlord) AwaitReady(ctx context.Context, t keyring.Tenant) error {
	if !l.apart {
		return l.Await(ctx, t.ID, access.TenantReady)
	}
	if err := l.AwaitServed(ctx, t); err != nil {
		return err
	}
	connect := func(ctx context.Context, tenant string) (*client.Client, error) {
		credentials, err := l.Keys.Issue(tenant, access.Credential{Role: access.Publisher, Name: platform.User, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			return nil, err
		}
		return client.Connect(ctx, client.Options{URL: l.place.Server, Access: l.Access(), Credentials: credentials, Source: source})
	}
	from, err := connect(ctx, keyring.DefaultTenant)
	if err != nil {
		return err
	}
	defer from.Close()
	k := platform.Keeper{
		Source: platform.NewSource(from), Tenant: tenancy.Tenant{Name: t.Name, ID: t.ID, Progdefs: t.Progdefs}, Log: zerolog.Nop(),
		Connect: func(ctx context.Context) (*client.Client, error) { return connect(ctx, t.Name) },
	}
	for {
		err := k.Sync(ctx)
		if !errors.Is(err, client.ErrNoAnswer) && !errors.Is(err, client.ErrNotInstalled) {
			return err
		}
		select { // the services make what they store for the tenant: in a cluster that takes a while
		case <-time.After(readyPause):
		case <-ctx.Done():
			return err
		}
	}
}

// readyPause is the pause between two looks at a tenant that is not ready.
const readyPause = 200 * time.Millisecond

// source is the CloudEvents source of copies of progdefs.
const source = "/dagyo/tenant"

// Where says where services log.
func (l *Landlord) Where() string {
	if l.apart {
		return "the services"
	}
	return "`dagyo up`"
}

// Close closes it.
func (l *Landlord) Close() {
	if l.link != nil {
		l.link.Close()
	}
	if l.lock != nil {
		_ = l.lock.Close()
	}
	if l.changing != nil {
		_ = l.changing.Close()
	}
	if l.scrap != "" {
		_ = os.RemoveAll(l.scrap)
	}
}
