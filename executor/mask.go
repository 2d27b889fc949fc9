package executor

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
)

// leastSecret is the length of the shortest value that is masked: shorter ones occur everywhere.
const leastSecret = 6

// masked stands for the value of a secret.
const masked = "***"

// A mask replaces secrets in what leaves the process.
type mask struct {
	replacer *strings.Replacer // nil without secrets
	longest  int
}

// newMask returns a mask of values. Of a value of several lines, each line is a secret, also as loggers quote it.
func newMask(values []string) mask {
	var secrets []string
	for _, v := range values {
		for line := range strings.Lines(v) {
			if line = strings.TrimSpace(line); len(line) >= leastSecret {
				quoted := strconv.Quote(line)
				secrets = append(secrets, line, quoted[1:len(quoted)-1])
			}
		}
	}
	if len(secrets) == 0 {
		return mask{}
	}
	// Of several that match, the replacer takes the first one.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, masked)
	}
	return mask{replacer: strings.NewReplacer(pairs...), longest: len(secrets[0])}
}

func (m mask) apply(text string) string {
	if m.replacer == nil {
		return text
	}
	return m.replacer.Replace(text)
}

// failure returns a failure as it is published: without secrets, and with texts that fit into an event.
func (m mask) failure(f contract.Failure) contract.Failure {
	f.Message, f.Detail = m.end(f.Message), m.end(f.Detail)
	return f
}

// end masks secrets in a text before it is clipped, since a part of a secret is not recognized. A text above the limit may
// begin with such a part, because only its end was kept: that is left out.
func (m mask) end(text string) string {
	masked := m.apply(text)
	if len(text) > contract.DetailLimit {
		masked = masked[min(m.longest, len(masked)):]
	}
	return clip(strings.ToValidUTF8(masked, "\ufffd"))
}

// secretValues returns the values of the variables that EnvSecrets names.
func secretValues(environ []string) (values []string) {
	names := strings.Split(os.Getenv(contract.EnvSecrets), ",")
	except := names[0] == "*"
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if slices.Contains(names, name) != except && !(except && strings.HasPrefix(name, "DAGYO_")) {
			values = append(values, value)
		}
	}
	return values
}
