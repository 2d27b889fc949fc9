package flowtest

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/records"
)

func TestComparison(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    comparison
		want string // of the lines that differ
	}{
		{"the same", comparison{format: lines, got: texts("a"), want: texts("a")}, ""},
		{"order counts", comparison{format: lines, got: texts("b", "a"), want: texts("a", "b")},
			"-a, b, +a"},
		{"order does not count", comparison{format: lines, unordered: true,
			got: texts("b", "a", "a"), want: texts("a", "b", "a")}, ""},
		{"how often counts", comparison{format: lines, unordered: true,
			got: texts("b", "a"), want: texts("a", "b", "a")}, "a, -a, b"},
		{"JSON is a value", comparison{format: values, typename: records.TypeJSON,
			got: texts(`{"a":1,"b":[ 2 ]}`), want: texts(`{"b":[2],"a":1}`)}, ""},
		{"numbers are compared as written", comparison{format: values, typename: records.TypeJSON,
			got: texts(`1.0`), want: texts(`1`)}, "-1, +1.0"},
		{"not JSON", comparison{format: values, typename: records.TypeJSON,
			got: texts(`oops`), want: texts(`"oops"`)}, `-"oops", +not JSON: "oops"`},
		{"control characters are seen", comparison{format: lines,
			got: texts("a\tb"), want: texts("a b")}, `-"a b", +"a\tb"`},
		{"so are those beyond ASCII", comparison{format: lines,
			got: texts("a\u0085"), want: texts("a")}, `-"a", +"a\u0085"`},
		{"octets", comparison{format: whole,
			got: texts("\xff"), want: texts("\xfe")}, `-{"base64":"/g=="}, +{"base64":"/w=="}`},
		{"the beginning of a flow that panics", comparison{format: lines, partial: true,
			got: texts("a"), want: texts("a", "b")}, ""},
		{"not the beginning", comparison{format: lines, partial: true,
			got: texts("b"), want: texts("a", "b")}, "-a, +b"},
		{"more than all", comparison{format: lines, partial: true,
			got: texts("a", "b"), want: texts("a")}, "a, +b"},
		{"some of a flow that panics", comparison{format: lines, partial: true, unordered: true,
			got: texts("c", "a"), want: texts("a", "b", "c")}, ""},
		{"others of a flow that panics", comparison{format: lines, partial: true, unordered: true,
			got: texts("d", "a"), want: texts("a", "b", "c")}, "a, +d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var changed []string
			for line := range strings.Lines(tt.c.diff("want", "got")) {
				if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "+++") && line[0] != '@' {
					changed = append(changed, strings.TrimSpace(line))
				}
			}
			if got := strings.Join(changed, ", "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestLongDiffsStayReadable(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	c := comparison{format: lines, got: texts(long + "1"), want: texts(long + "2")}
	if d := c.diff("want", "got"); len(d) > 1000 || strings.Count(d, "SHA-256") != 2 {
		t.Errorf("%d octets: %s", len(d), d)
	}
	many := comparison{format: lines}
	for range 10_000 {
		many.got = append(many.got, []byte("x"))
	}
	if d := many.diff("want", "got"); !strings.HasSuffix(d, "+x\n… and 9903 more lines\n") {
		t.Errorf("%d octets: %s", len(d), d[len(d)-100:])
	}
}
