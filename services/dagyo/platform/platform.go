// Package platform keeps the progdefs of the platform in the catalogues of tenants. The platform publishes in the default
// tenant; other tenants have copies of what they may use, which follow the originals. A copy has the revision of its
// original, and [User] as the user who published it. What a tenant has published itself under such a name is left alone.
package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

// User is the name under which copies are published. No credentials with it are issued to anybody else.
const User = "platform"

// lookEvery is the time between two looks at a tenant's catalogue, unless the originals change before: the tenant may have
// removed a copy, or a progdef that was in the way of one.
const lookEvery = 10 * time.Minute

// A Source is the catalogue of the platform.
type Source struct {
	mu      sync.Mutex
	from    *client.Client // of the default tenant, nil while there is none
	changed chan struct{}  // closed and renewed with each change
}

// NewSource returns a source that reads with a client of the default tenant, or that of Watch if it is nil.
func NewSource(from *client.Client) *Source { return &Source{from: from, changed: make(chan struct{})} }

// Watch reads with a client of the default tenant, and tells keepers of changes, until the context ends.
func (s *Source) Watch(ctx context.Context, from *client.Client) error {
	f, err := from.Follow(ctx, client.Start{New: true}, "progdef.applied.*", "progdef.removed.*")
	if err != nil {
		return fmt.Errorf("follow the catalogue of the platform: %w", err)
	}
	defer f.Close()
	s.change(from)
	defer s.change(nil)
	for {
		select {
		case <-f.Events():
			s.change(from)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Source) change(from *client.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = from
	close(s.changed)
	s.changed = make(chan struct{})
}

// now returns the client, and what is closed by the next change.
func (s *Source) now() (*client.Client, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from, s.changed
}

// A Keeper keeps the copies of one tenant.
type Keeper struct {
	Source *Source
	Tenant tenancy.Tenant
	// Connect returns a client of the tenant with the name User and the role publisher.
	Connect func(context.Context) (*client.Client, error)
	Log     zerolog.Logger
	// told is what was logged of a name, so that it is not repeated.
	told map[string]string
}

// Keep keeps the copies up to date until the context ends, or there is an error.
func (k *Keeper) Keep(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		from, changed := k.Source.now()
		if from != nil {
			if err := k.sync(ctx, from); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sync brings the copies up to date.
func (k *Keeper) Sync(ctx context.Context) error {
	for {
		from, changed := k.Source.now()
		if from != nil {
			return k.sync(ctx, from)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (k *Keeper) sync(ctx context.Context, from *client.Client) error {
	to, err := k.Connect(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	theirs, err := to.Catalog(ctx)
	if err != nil {
		return fmt.Errorf("read the catalogue of tenant %s: %w", k.Tenant.Name, err)
	}
	ours, err := from.Catalog(ctx)
	if err != nil {
		return fmt.Errorf("read the catalogue of the platform: %w", err)
	}
	apply, remove, kept := plan(ours, theirs, k.Tenant.Progdefs)
	for _, name := range kept {
		k.tell(name, "the tenant has a progdef of its own with this name, and does not get that of the platform")
	}
	if len(apply) > 0 {
		if err := k.types(ctx, from, to); err != nil {
			return err
		}
	}
	for _, p := range progdef.Ordered(apply, encoded) {
		if err := k.copy(ctx, to, p); err != nil {
			return err
		}
	}
	for _, name := range remove {
		if err := to.Remove(ctx, name); err != nil {
			return fmt.Errorf("remove progdef %s from tenant %s: %w", name, k.Tenant.Name, err)
		}
		k.Log.Info().Str("progdef", name).Msg("removed a progdef of the platform from the tenant")
	}
	return nil
}

// plan says which copies to apply and to remove, and which names the tenant keeps for itself.
func plan(ours, theirs []contract.Published, may []string) (apply []contract.Published, remove, kept []string) {
	have := make(map[string]contract.Published)
	for _, p := range theirs {
		have[p.Document.Name] = p
	}
	wanted := make(map[string]bool)
	for _, p := range ours {
		name := p.Document.Name
		if !allowed(p, may) {
			continue
		}
		wanted[name] = true
		switch copied, ok := have[name]; {
		case ok && copied.Revision == p.Revision:
		case ok && copied.By != User:
			kept = append(kept, name)
		default:
			apply = append(apply, p)
		}
	}
	for _, p := range theirs {
		if p.By == User && !wanted[p.Document.Name] {
			remove = append(remove, p.Document.Name)
		}
	}
	return apply, remove, kept
}

// allowed reports whether a tenant gets a progdef: the standard ones, and those that it may use.
func allowed(p contract.Published, may []string) bool {
	return standard(p.Document) || slices.ContainsFunc(may, func(pattern string) bool {
		ok, _ := path.Match(pattern, p.Document.Name)
		return ok
	})
}

// standard reports whether a progdef is a standard one, in whatever image.
func standard(d progdef.Document) bool {
	command, ok := commands()[d.Name]
	return ok && slices.Equal(command, d.Command)
}

// commands are those of the standard progdefs, by name.
var commands = sync.OnceValue(func() map[string][]string {
	out := make(map[string][]string)
	for _, s := range std.Standard() {
		d, _ := progdef.Check(s.Document, document.DefaultLimits())
		out[s.Name] = d.Command
	}
	return out
})

// ValidPattern reports an error if a text is neither the name of a progdef nor a pattern of names.
func ValidPattern(pattern string) error {
	if !document.ValidName(strings.ReplaceAll(pattern, "*", "x")) {
		return fmt.Errorf("%q is neither the name of a progdef nor a pattern such as resnet-*", pattern)
	}
	return nil
}

// encoded returns the document of a progdef as JSON. Whatever was decoded from JSON can be encoded.
func encoded(p contract.Published) []byte {
	raw, _ := json.Marshal(p.Document)
	return raw
}

func (k *Keeper) copy(ctx context.Context, to *client.Client, p contract.Published) error {
	_, err := to.Apply(ctx, p.Document.Name, encoded(p))
	var problems problem.List
	if errors.As(err, &problems) {
		k.tell(p.Document.Name, "the tenant's validator refuses a progdef of the platform: "+problems[0].String())
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy progdef %s to tenant %s: %w", p.Document.Name, k.Tenant.Name, err)
	}
	k.Log.Info().Str("progdef", p.Document.Name).Str("revision", p.Revision).Msg("copied a progdef of the platform to the tenant")
	return nil
}

// types copies the documents of types that the tenant lacks.
func (k *Keeper) types(ctx context.Context, from, to *client.Client) error {
	ours, err := from.Types(ctx)
	if err != nil {
		return fmt.Errorf("read the types of the platform: %w", err)
	}
	theirs, err := to.Types(ctx)
	if err != nil {
		return fmt.Errorf("read the types of tenant %s: %w", k.Tenant.Name, err)
	}
	for _, t := range ours {
		if t.Builtin || slices.ContainsFunc(theirs, func(x contract.TypeLine) bool { return x.Name == t.Name }) {
			continue
		}
		doc, err := from.Type(ctx, t.Name)
		if errors.Is(err, client.ErrUnknownType) {
			continue // removed in the meantime
		}
		if err != nil {
			return err
		}
		raw, err := json.Marshal(doc)
		if err == nil {
			_, err = to.ApplyType(ctx, t.Name, raw)
		}
		var problems problem.List
		if errors.As(err, &problems) {
			k.tell("type "+t.Name, "the tenant's validator refuses a type of the platform: "+problems[0].String())
			continue
		}
		if err != nil {
			return fmt.Errorf("copy type %s to tenant %s: %w", t.Name, k.Tenant.Name, err)
		}
	}
	return nil
}

// tell logs something about a progdef, unless it was logged before.
func (k *Keeper) tell(name, what string) {
	if k.told[name] == what {
		return
	}
	if k.told == nil {
		k.told = make(map[string]string)
	}
	k.told[name] = what
	k.Log.Warn().Str("progdef", name).Msg(what)
}
