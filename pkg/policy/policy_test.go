package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/schemas"
)

func parse(t *testing.T, text string) *Policy {
	t.Helper()
	p, problems := Check([]byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

func doc(t *testing.T, text string) progdef.Document {
	t.Helper()
	d, problems := progdef.Check([]byte(text), document.DefaultLimits())
	if len(problems) > 0 {
		t.Fatal(text, problems)
	}
	return d
}

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		policy   string
		accepted []string
		// refused has the pointers and rules of the problems of each document.
		refused map[string][]string
	}{
		"no rules": {`{}`, []string{`"image": "x"`, `"command": ["sh"]`, `"command": ["x"], "envFrom": [{"secret": "s"}]`}, nil},
		"images": {
			`{"images": {"allow": ["ghcr.io/acme/*", "docker.io/library/python", "localhost:5000/**"]}}`,
			[]string{
				`"image": "ghcr.io/acme/tool"`, `"image": "ghcr.io/acme/tool:1.2"`, `"image": "ghcr.io/acme/tool` + digest + `"`,
				`"image": "GHCR.io/acme/tool"`, `"image": "python:3"`, `"image": "docker.io/python"`,
				`"image": "index.docker.io/library/python"`, `"image": "localhost:5000/a/b/c:x"`, `"command": ["sh"]`,
			},
			map[string][]string{
				`"image": "ghcr.io/acme/tool/deeper"`:                 {"/image images.allow"},
				`"image": "ghcr.io/acmex/tool"`:                       {"/image images.allow"},
				`"image": "evil.example/ghcr.io/acme/tool"`:           {"/image images.allow"},
				`"image": "ghcr.io.evil.example/acme/tool"`:           {"/image images.allow"},
				`"image": "ghcr.io:443/acme/tool"`:                    {"/image images.allow"},
				`"image": "acme/tool"`:                                {"/image images.allow"},
				`"image": "pythonx"`:                                  {"/image images.allow"},
				`"image": "localhost/x"`:                              {"/image images.allow"},
				`"image": "ghcr.io/acme/../evil/tool"`:                {"/image images.allow"},
				`"image": "ghcr.io/acme/"`:                            {"/image images.allow"},
				`"image": "ghcr.io/acme/tool@sha256:12"`:              {"/image images.allow"},
				`"image": "ghcr.io/acme/tool:"`:                       {"/image images.allow"},
				`"image": "ghcr.io/acme/Tool"`:                        {"/image images.allow"},
				`"image": "evil.example/x#ghcr.io/acme/tool"`:         {"/image images.allow"},
				`"image": "user@ghcr.io/acme/tool"`:                   {"/image images.allow"},
				`"image": "evil.example/x", "command": ["ghcr.io/x"]`: {"/image images.allow"},
			},
		},
		"digests": {
			`{"images": {"digest": true}}`, []string{`"image": "x` + digest + `"`, `"image": "x:1` + digest + `"`},
			map[string][]string{`"image": "x"`: {"/image images.digest"}, `"image": "x:1"`: {"/image images.digest"}},
		},
		"both": {
			`{"images": {"allow": [], "digest": true}}`, nil,
			map[string][]string{`"image": "x"`: {"/image images.allow", "/image images.digest"}},
		},
		"commands": {
			`{"commands": {"allow": ["python3", "/opt/tools/*", "/srv/**"]}}`,
			[]string{
				`"command": ["python3", "-c", "x"]`, `"command": ["/opt/tools/a"]`, `"command": ["/srv/a/b/c"]`,
				`"command": ["dagyo", "executor", "greet"]`, `"command": ["dagyo", "exec", "--framing", "x=raw", "--", "/srv/a"]`,
				`"command": ["dagyo-exec", "--", "python3"]`, `"image": "any", "command": ["sh"]`,
				`"command": ["dagyo", "exec", "--exit-ok=1", "--stop-grace", "1s", "--framing", "x=raw", "--", "python3"]`,
			},
			map[string][]string{
				`"command": ["sh", "python3"]`:                              {"/command/0 commands.allow"},
				`"command": ["/usr/bin/python3"]`:                           {"/command/0 commands.allow"},
				`"command": ["./python3"]`:                                  {"/command/0 commands.allow"},
				`"command": ["/opt/tools/a/b"]`:                             {"/command/0 commands.allow"},
				`"command": ["/opt/tools/../../bin/sh"]`:                    {"/command/0 commands.allow"},
				`"command": ["/srv/../bin/sh"]`:                             {"/command/0 commands.allow"},
				`"command": ["/srv//bin/../../bin/sh"]`:                     {"/command/0 commands.allow"},
				`"command": ["/srv"]`:                                       {"/command/0 commands.allow"},
				`"command": [""]`:                                           {"/command/0 commands.allow"},
				`"command": ["dagyo", "up"]`:                                {"/command/0 commands.allow"},
				`"command": ["dagyo", "executor", "greet", "x"]`:            {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "sh"]`:                        {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "--", "sh", "--", "python3"]`: {"/command/3 commands.allow"},
				`"command": ["dagyo-exec", "--"]`:                           {"/command/0 commands.allow"},
				`"command": ["/tmp/dagyo", "exec", "--", "python3"]`:        {"/command/0 commands.allow"},
				// What runs is the first argument that is neither a flag nor its value, also before a "--".
				`"command": ["dagyo", "exec", "sh", "-c", "x", "--", "python3"]`:            {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "--exit-ok=1", "sh", "--", "python3"]`:        {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "--exit-ok", "1", "sh", "--", "python3"]`:     {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "--unknown", "sh", "--", "python3"]`:          {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "--framing", "--", "sh", "--", "python3"]`:    {"/command/0 commands.allow"},
				`"command": ["dagyo-exec", "sh", "--", "python3"]`:                          {"/command/0 commands.allow"},
				`"command": ["dagyo-exec", "--framing", "x=raw", "sh", "--", "python3"]`:    {"/command/0 commands.allow"},
				`"command": ["dagyo", "exec", "--stop-grace", "1s", "--", "sh", "python3"]`: {"/command/5 commands.allow"},
				`"command": ["python3"], "env": {"PATH": "/x", "LD_PRELOAD": "/x", "A": "b"}`: {
					"/env/LD_PRELOAD commands.allow", "/env/PATH commands.allow",
				},
			},
		},
		"no commands": {
			`{"commands": {"allow": []}}`, []string{`"image": "x"`, `"command": ["dagyo", "executor", "greet"]`},
			map[string][]string{`"command": ["sh"]`: {"/command/0 commands.allow"}},
		},
		"standard progdefs": {
			`{"standard": ["greet", "c*"]}`,
			[]string{
				`"command": ["dagyo", "executor", "greet"]`, `"command": ["dagyo", "executor", "counter"]`, `"command": ["x"]`,
				`"command": ["dagyo", "exec", "--", "x"]`,
			},
			map[string][]string{
				`"command": ["dagyo", "executor", "http_get"]`:                  {"/command standard"},
				`"image": "d", "command": ["dagyo", "executor", "http_get"]`:    {"/command standard"},
				`"command": ["dagyo", "--output", "json", "executor", "greet"]`: {"/command standard"},
				`"command": ["/usr/bin/dagyo", "executor", "http_get"]`:         {"/command standard"},
			},
		},
		"sets of variables": {
			`{"envFrom": [{"progdefs": ["*"], "configMaps": ["public-*"]}, {"progdefs": ["pd", "crawl-*"], "secrets": ["proxy"]},
				{"progdefs": ["*"], "images": ["ghcr.io/acme/*"], "secrets": ["*"]}]}`,
			[]string{
				`"image": "x", "envFrom": [{"configMap": "public-a"}, {"secret": "proxy"}]`,
				`"image": "ghcr.io/acme/x", "envFrom": [{"secret": "any"}]`,
			},
			map[string][]string{
				`"image": "x", "envFrom": [{"secret": "public-a"}, {"configMap": "proxy"}, {"secret": "proxy"}]`: {
					"/envFrom/0/secret envFrom", "/envFrom/1/configMap envFrom",
				},
				`"command": ["x"], "envFrom": [{"secret": "any"}]`: {"/envFrom/0/secret envFrom"},
			},
		},
		"machines": {
			`{"machine": {"priorityClassNames": ["batch-*"], "runtimeClassNames": []}}`,
			[]string{`"image": "x"`, `"image": "x", "machine": {"priorityClassName": "batch-low"}`},
			map[string][]string{
				`"image": "x", "machine": {"priorityClassName": "system-node-critical", "runtimeClassName": "nvidia"}`: {
					"/machine/priorityClassName machine.priorityClassNames", "/machine/runtimeClassName machine.runtimeClassNames",
				},
			},
		},
		"limits": {
			`{"limits": {"jobsPerExecutor": 4, "minExecutors": 0, "maxExecutors": 10, "required": ["memory"],
				"resources": {"cpu": "2", "memory": "1Gi", "*": "0"}}}`,
			[]string{
				`"image": "x", "scaling": {"jobsPerExecutor": 4, "maxExecutors": 10},
					"resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}, "requests": {"nvidia.com/gpu": "0"}}`,
				`"command": ["dagyo", "executor", "greet"], "scaling": {"maxExecutors": 10}`,
			},
			map[string][]string{
				`"image": "x", "scaling": {"jobsPerExecutor": 5, "minExecutors": 1},
					"resources": {"limits": {"cpu": "2001m", "nvidia.com/gpu": "1"}, "requests": {"memory": "1.1Gi", "ephemeral-storage": "1"}}`: {
					"/resources/limits limits.required", "/resources/limits/cpu limits.resources.cpu",
					"/resources/limits/nvidia.com~1gpu limits.resources.*", "/resources/requests/ephemeral-storage limits.resources.*",
					"/resources/requests/memory limits.resources.memory", "/scaling/jobsPerExecutor limits.jobsPerExecutor",
					"/scaling/maxExecutors limits.maxExecutors", "/scaling/minExecutors limits.minExecutors",
				},
				`"image": "x", "command": ["dagyo", "executor", "greet"], "scaling": {"maxExecutors": 1},
					"resources": {"limits": {"cpu": "1e99"}}`: {
					"/resources/limits limits.required", "/resources/limits/cpu limits.resources.cpu",
				},
			},
		},
	} {
		p := parse(t, tt.policy)
		for _, fields := range tt.accepted {
			if got := p.Refuses(doc(t, `{"name": "pd", `+fields+`}`)); len(got) > 0 {
				t.Errorf("%s: %s is refused: %v", name, fields, got)
			}
		}
		for fields, want := range tt.refused {
			var got []string
			for _, problem := range p.Refuses(doc(t, `{"name": "pd", `+fields+`}`)) {
				_, rule, _ := strings.Cut(problem.Message, "(")
				rule, _, _ = strings.Cut(rule, ")")
				got = append(got, problem.Pointer+" "+rule)
				if problem.Code != "policy" || problem.Hint == "" {
					t.Errorf("%s: %s: %+v", name, fields, problem)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s: %q, want %q", name, fields, got, want)
			}
		}
	}
}

// The process backend ignores images: a progdef with an allowed one runs its command on the host.
func TestOnHost(t *testing.T) {
	p := parse(t, `{"images": {"allow": ["ghcr.io/acme/*"]}, "commands": {"allow": ["x"]},
		"envFrom": [{"progdefs": ["*"], "images": ["ghcr.io/acme/*"], "secrets": ["s"]}]}`)
	d := doc(t, `{"name": "pd", "image": "ghcr.io/acme/tool", "command": ["sh"], "envFrom": [{"secret": "s"}]}`)
	if got := p.Refuses(d); len(got) > 0 {
		t.Error(got)
	}
	if got := p.OnHost().Refuses(d); len(got) != 2 || got[0].Pointer != "/command/0" || got[1].Pointer != "/envFrom/0/secret" {
		t.Error(got)
	}
}

func TestCheckReportsEverything(t *testing.T) {
	_, problems := Check([]byte(`{"images": {"allow": ["acme/x", "ghcr.io", "ghcr.io/**/x", "ghcr.io/a*", "ghcr.io/x:1", "GHCR.io/x", "*", "**"]},
		"commands": {"allow": ["./x", "/a/../b", "/a/", "a/b", "/x/**", ".."]},
		"limits": {"resources": {"cpu": "many", "memory": "1e99"}},
		"envFrom": [{"progdefs": ["*"], "images": ["x"]}],
		"environment": [{"progdefs": ["*"], "images": ["x"], "variables": {"DAGYO_X": "", "A": "", "1": ""}, "files": {"A": "a"}, "envFrom": [{}]}],
		"httpGet": {"allow": ["10.0.0.1/8", "2130706433", "example.com"]}, "webhooks": {"allow": ["::1", "10.0.0.1/8"]}}`))
	var got []string
	for _, p := range problems {
		got = append(got, p.Pointer)
	}
	want := []string{
		"/commands/allow/0", "/commands/allow/1", "/commands/allow/2", "/commands/allow/3", "/commands/allow/5",
		"/envFrom/0/images/0", "/environment/0/envFrom/0", "/environment/0/files/A", "/environment/0/images/0",
		"/environment/0/variables/1", "/environment/0/variables/DAGYO_X", "/httpGet/allow/0", "/httpGet/allow/1",
		"/images/allow/0", "/images/allow/1", "/images/allow/2", "/images/allow/3", "/images/allow/4", "/images/allow/5",
		"/images/allow/6", "/limits/resources/cpu", "/limits/resources/memory", "/webhooks/allow/1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems\n%v, want\n%q", problems, want)
	}
	for _, text := range []string{`[]`, `null`, `{"image": {}}`, `{"envFrom": [{}]}`, `{"limits": {"maxExecutors": 0}}`, `{`} {
		if _, problems := Check([]byte(text)); len(problems) != 1 {
			t.Errorf("%s: %v", text, problems)
		}
	}
	// What breaks the schema hides nothing else.
	_, problems = Check([]byte(`{"images": {"allow": [5, "", "x/y"], "digests": true}, "machine": 1, "standard": [[]],
		"environment": [{"progdefs": 1, "variables": {"1": "", "A": 5}, "envFrom": [{"secret": ""}, {}]}]}`))
	got = nil
	for _, p := range problems {
		got = append(got, p.Pointer)
	}
	want = []string{
		"/environment/0/envFrom/0/secret", "/environment/0/envFrom/1", "/environment/0/progdefs", "/environment/0/variables/1",
		"/environment/0/variables/A", "/images/allow/0", "/images/allow/1", "/images/allow/2", "/images/digests", "/machine",
		"/standard/0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems\n%v, want\n%q", problems, want)
	}
}

func TestVariables(t *testing.T) {
	files := map[string]string{"/etc/dagyo/token": "secret\n", "/p/rel": "a\r\n", "/zero": "a\x00b", "/long": strings.Repeat("x", valueLimit+1)}
	read := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file " + path)
	}
	p := parse(t, `{"environment": [
		{"progdefs": ["*"], "variables": {"A": "1", "B": "1"}},
		{"progdefs": ["crawl-*"], "variables": {"B": "2"}, "files": {"TOKEN": "/etc/dagyo/token", "REL": "rel"}, "envFrom": [{"secret": "s"}]},
		{"progdefs": ["*"], "images": ["ghcr.io/acme/*"], "variables": {"C": "3"}}],
		"httpGet": {"allow": ["10.0.0.0/8", "intranet"]}}`).Within("/p")
	for _, tt := range []struct {
		doc, from string
		want      map[string]string
	}{
		{`{"name": "x", "command": ["x"]}`, "[]", map[string]string{"A": "1", "B": "1"}},
		{`{"name": "crawl-x", "image": "ghcr.io/acme/x"}`, "[{s }]", map[string]string{"A": "1", "B": "2", "C": "3", "TOKEN": "secret", "REL": "a"}},
		{
			`{"name": "get", "command": ["dagyo", "executor", "http_get"]}`, "[]",
			map[string]string{"A": "1", "B": "1", contract.EnvHTTPGetAllow: "10.0.0.0/8,intranet"},
		},
		{
			`{"name": "post", "command": ["dagyo", "executor", "http_post"]}`, "[]",
			map[string]string{"A": "1", "B": "1", contract.EnvHTTPGetAllow: "10.0.0.0/8,intranet"},
		},
	} {
		vars, from, err := p.Variables(doc(t, tt.doc), read)
		if err != nil || !maps.Equal(vars, tt.want) || fmt.Sprint(from) != tt.from {
			t.Errorf("%s: %v, %v, %v", tt.doc, vars, from, err)
		}
	}
	var none *Policy
	get := doc(t, `{"name": "get", "command": ["dagyo", "executor", "http_get"], "envFrom": [{"secret": "s"}]}`)
	if vars, _, err := none.Variables(get, read); err != nil || !maps.Equal(vars, map[string]string{contract.EnvHTTPGetAllow: ""}) {
		t.Errorf("without a policy: %v, %v", vars, err)
	}
	bad := parse(t, `{"environment": [{"progdefs": ["*"], "files": {"A": "/missing", "B": "/zero", "C": "/long"}}]}`)
	_, _, err := bad.Variables(get, read)
	if err == nil || strings.Count(err.Error(), "the variable ") != 3 || strings.Contains(err.Error(), "xxx") {
		t.Errorf("%v", err)
	}
}

func TestExample(t *testing.T) {
	text, err := schemas.Files.ReadFile("examples/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	parse(t, string(text))
}

func TestOffersAndFits(t *testing.T) {
	var none *Policy
	p := parse(t, `{"standard": ["c*"], "limits": {"maxExecutors": 3, "jobsPerExecutor": 2}}`)
	if !none.Offers("x") || p.Offers("x") || !p.Offers("counter") {
		t.Error("offers others")
	}
	s := progdef.Scaling{JobsPerExecutor: 1000, MinExecutors: 1, MaxExecutors: 20}
	if none.Fit(s) != s || p.Fit(s) != (progdef.Scaling{JobsPerExecutor: 2, MinExecutors: 1, MaxExecutors: 3}) {
		t.Errorf("fits %+v", p.Fit(s))
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"a*", "a", true}, {"a*a", "a", false}, {"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false}, {"*b", "ab", true}, {"a**b", "ab", true}, {"*ab*ab", "ab", false}, {"*a*a*", "aa", true},
	} {
		if got := glob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s %s: %v", tt.pattern, tt.name, got)
		}
	}
}

// A follower gets the policy, and the newest one after each change.
func TestFollow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first, second := &Policy{}, &Policy{}
	c := NewCurrent(first)
	got := make(chan *Policy)
	done := make(chan error)
	go func() { done <- c.Follow(ctx, func(p *Policy) { got <- p }) }()
	if p := <-got; p != first {
		t.Error("not the first policy")
	}
	c.Set(second)
	if p := <-got; p != second || c.Get() != second {
		t.Error("not the second policy")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var none *Current
	ctx, cancel = context.WithCancel(t.Context())
	go func() { done <- none.Follow(ctx, func(p *Policy) { got <- p }) }()
	if p := <-got; p != nil {
		t.Error("there is a policy")
	}
	cancel()
	<-done
}
