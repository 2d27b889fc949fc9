package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/apply"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/dagyo/progdefs"
)

// applyFiles applies all documents of the files, and prints each that is rejected or fails. A progdef comes after those
// that its flow uses, also if these are in a later file.
func (a *app) applyFiles(what string, paths []string, publish func(d docfile.Document, path, name string) error) error {
	type written struct {
		docfile.Document
		path, name string
	}
	var all []written
	var errs, unread []error
	for _, path := range paths {
		docs, err := a.readDocuments(path)
		if err != nil {
			unread = append(unread, a.notApplied(what, path, docfile.Document{}, err))
		}
		for _, d := range docs {
			name := path
			if len(docs) > 1 {
				name = fmt.Sprintf("%s:%d", path, d.Line)
			}
			all = append(all, written{d, path, name})
		}
	}
	for _, d := range progdef.Ordered(all, func(d written) []byte { return d.JSON }) {
		if err := publish(d.Document, d.path, d.name); err != nil {
			errs = append(errs, a.notApplied(what, d.name, d.Document, err))
		}
	}
	return errors.Join(append(errs, unread...)...) // the first decides the exit code
}

// notApplied prints why a document was not applied, and returns the exit code.
func (a *app) notApplied(what, name string, d docfile.Document, err error) error {
	var problems problem.List
	if errors.As(err, &problems) {
		return a.tellRefused(what, name, d.Locate(problems))
	}
	fmt.Fprintf(a.Err, "dagyo: apply %s: %v\n", name, err)
	code, _ := codeOf(err)
	return told(code)
}

// An applier applies progdefs one after another.
type applier struct {
	*app
	client *client.Client
	// catalog is the content of the catalogue before.
	catalog map[string]progdef.Pinned
	// replace allows replacing standard progdefs.
	replace bool
	// noSpawner is true once no spawner has answered.
	noSpawner bool
}

func (a *app) newApplier(ctx context.Context, c *client.Client) (*applier, error) {
	all, err := c.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	p := &applier{app: a, client: c, catalog: map[string]progdef.Pinned{}}
	for _, each := range all {
		p.catalog[each.Document.Name] = each.Pinned
	}
	return p, nil
}

// apply applies one document and prints what it replaced.
func (p *applier) apply(ctx context.Context, raw []byte, file string) error {
	done, err := p.publish(ctx, raw, file)
	if err != nil {
		return err
	}
	if p.json() {
		return p.printJSON(done)
	}
	_, err = fmt.Fprintln(p.Out, done)
	return err
}

// publish applies one document.
func (p *applier) publish(ctx context.Context, raw []byte, file string) (done appliedProgdef, err error) {
	name := applyAs(raw)
	before, known := p.catalog[name]
	if known && !p.replace && runsStandard(before) && runsOther(raw, before.Document.Command) {
		return done, usage(fmt.Errorf("%s is a standard progdef: use another name, or add --replace-standard", name))
	}
	applied, err := p.client.Apply(ctx, name, raw)
	if err != nil {
		return done, err
	}
	now := progdef.Pinned{Revision: applied.Revision, Document: applied.Document}
	p.catalog[name] = now
	change := changeOf(before.Document, now.Document, known)
	switch {
	case known && before.Revision != now.Revision:
		change.Replaced = before.Revision
	case known:
		change.Executors = p.executorsOf(ctx, name, now.Revision)
	}
	return appliedProgdef{file, name, now.Revision, change}, nil
}

// placed returns a document of a file with absolute paths in its command, if the command runs on this machine: a command
// with an image runs in that, and the executors of a server elsewhere do not see these files.
func (p *applier) placed(d docfile.Document, path string) ([]byte, error) {
	var doc struct{ Image string }
	_ = json.Unmarshal(d.JSON, &doc) // the validator reports what is wrong with it
	if doc.Image != "" || !nearby(p.server) {
		return d.JSON, nil
	}
	placed, err := progdefs.Place(d, path)
	return placed.Document, err
}

// nearby reports whether all URLs of servers are on this machine.
func nearby(urls string) bool {
	for one := range strings.SplitSeq(urls, ",") {
		if one = strings.TrimSpace(one); !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil {
			return false
		}
		ip := net.ParseIP(u.Hostname())
		if u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// spawnerWait bounds how long apply waits for the number of running executors, which is only for information.
const spawnerWait = 2 * time.Second

// executorsOf returns how many executors of a revision take jobs; 0 where no spawner answers, which is then not asked
// again.
func (p *applier) executorsOf(ctx context.Context, name, revision string) int {
	if p.noSpawner {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, spawnerWait)
	defer cancel()
	capacity, err := p.client.Capacity(ctx, name)
	p.noSpawner = err != nil
	i := slices.IndexFunc(capacity, func(c contract.Capacity) bool { return c.Revision == revision })
	if i < 0 {
		return 0
	}
	return capacity[i].Executors
}

// appliedProgdef is the output of `progdef apply` with --output json.
type appliedProgdef struct {
	File     string `json:"file"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	change
}

func (p appliedProgdef) String() string {
	return fmt.Sprintf("progdef %s applied, revision %s%s", p.Progdef, p.Revision, p.change)
}

// A change compares an applied document with the previous one.
type change struct {
	New bool `json:"new"`
	// Replaced is the previous revision, if it differs.
	Replaced string `json:"replaced,omitempty"`
	// Changed lists the fields that differ, such as scaling.maxExecutors.
	Changed []string `json:"changed"`
	// Executors counts the running executors that go on, where the revision is the one before. They keep the code
	// that they were started with.
	Executors int `json:"executors,omitempty"`
}

// maxChanges bounds the number of fields in a line of text.
const maxChanges = 10

func (c change) String() string {
	fields := shortList(c.Changed)
	switch {
	case c.New:
		return " (new)"
	case len(c.Changed) == 0 && c.Executors == 1:
		return ` (unchanged: the running executor keeps the code that it started with; for new code change "code")`
	case len(c.Changed) == 0 && c.Executors > 1:
		return fmt.Sprintf(` (unchanged: %d running executors keep the code that they started with; for new code change "code")`,
			c.Executors)
	case len(c.Changed) == 0:
		return " (unchanged)"
	case c.Replaced != "":
		return fmt.Sprintf(" (replaces revision %s; changed: %s)", c.Replaced, fields)
	default:
		return fmt.Sprintf(" (changed: %s)", fields)
	}
}

// shortList lists at most maxChanges fields.
func shortList(fields []string) string {
	text := strings.Join(fields[:min(len(fields), maxChanges)], ", ")
	if n := len(fields) - maxChanges; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// changeOf compares two documents.
func changeOf(before, after any, known bool) change {
	if !known {
		return change{New: true, Changed: []string{}}
	}
	return change{Changed: append([]string{}, apply.Differences(before, after)...)}
}

// runsStandard reports whether a progdef runs the standard program of its name.
func runsStandard(p progdef.Pinned) bool {
	s, ok := std.Find(p.Document.Name)
	return ok && !runsOther(s.Document, p.Document.Command)
}

// isStandard reports whether a progdef is the standard one of its name, in whatever image.
func isStandard(p progdef.Pinned) bool {
	s, ok := std.Find(p.Document.Name)
	if !ok {
		return false
	}
	own, problems := progdef.Check(s.Document, document.DefaultLimits())
	own.Image = p.Document.Image
	return len(problems) == 0 && len(apply.Differences(own, p.Document)) == 0
}

// runsOther reports whether a document runs something other than the command. It is false for a document that cannot
// be decoded or runs nothing: the validator reports that.
func runsOther(raw []byte, command []string) bool {
	var doc struct {
		Command []string
		Image   string
	}
	if json.Unmarshal(raw, &doc) != nil || doc.Command == nil && doc.Image == "" {
		return false
	}
	return !slices.Equal(doc.Command, command)
}

// standardImage returns the image of the standard progdefs in the catalogue, "" for none; of several images that of
// the first progdef by name. ok is false if the catalogue has no standard progdefs.
func (p *applier) standardImage() (image string, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(p.catalog)) {
		if runsStandard(p.catalog[name]) {
			return p.catalog[name].Document.Image, true
		}
	}
	return "", false
}

// restore applies the standard progdef of a name.
func (p *applier) restore(ctx context.Context, name, image string) (*contract.ProgdefApplied, error) {
	s, _ := std.Find(name)
	raw := s.Document
	if image != "" {
		var err error
		if raw, err = withImage(raw, image); err != nil {
			return nil, err
		}
	}
	return p.client.Apply(ctx, name, raw)
}

// remove removes a progdef from the catalogue. If it replaced a standard progdef, the standard progdef is restored, and
// remove returns its revision.
func (p *applier) remove(ctx context.Context, name string) (restored string, err error) {
	before, known := p.catalog[name]
	image, standard := p.standardImage()
	if err := p.client.Remove(ctx, name); err != nil {
		return "", err
	}
	delete(p.catalog, name)
	if _, named := std.Find(name); !named || !known || !standard || isStandard(before) {
		return "", nil
	}
	applied, err := p.restore(ctx, name, image)
	if err != nil {
		return "", err
	}
	return applied.Revision, nil
}
