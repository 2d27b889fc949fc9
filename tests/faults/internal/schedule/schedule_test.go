package schedule

import (
	"reflect"
	"strings"
	"testing"
)

// A schedule is the same after it was written and read, and equal seeds give equal schedules.
func TestText(t *testing.T) {
	seen := map[Fault]bool{}
	for seed := range uint64(500) {
		s := Random(seed, 0)
		got, err := Parse("# a comment\n\n" + s.String())
		if err != nil {
			t.Fatal(err, s)
		}
		if !reflect.DeepEqual(got, s) || !reflect.DeepEqual(Random(seed, 0), s) {
			t.Fatalf("got %v, want %v", got, s)
		}
		for _, step := range s.Steps {
			seen[step.Fault] = true
			if rules[step.Fault].cluster && s.Servers == 1 {
				t.Errorf("%s on one server", step.Fault)
			}
		}
	}
	for _, f := range Faults() {
		if !seen[f] {
			t.Errorf("%s is never drawn", f)
		}
	}
}

func TestBadText(t *testing.T) {
	const good = "servers 1\ntenants 1\nflows 1\n"
	for text, want := range map[string]string{
		"servers 2":                       "neither 1 nor 3",
		"servers":                         "line 1: servers needs one value",
		"servers 1":                       "there must be one at least",
		good + "pause":                    `line 4: "pause" is neither a setting nor a time`,
		good + "1s":                       "which fault at 1s?",
		good + "1s earthquake":            `"earthquake" is no fault`,
		good + "1s pause 3s":              "pause needs one of [validator",
		good + "1s pause planner":         "pause needs a duration",
		good + "1s pause planner long":    `pause: "long" is no duration`,
		good + "1s pause planner 3s here": `what does "here" mean?`,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestSmaller(t *testing.T) {
	s, err := Parse("servers 3\ntenants 1\nflows 9\n1s power-cut 1s\n2s kill-executor\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range s.Smaller() {
		got = append(got, strings.Join(strings.Fields(one.String())[10:], " "))
	}
	want := []string{"flows 9 2s kill-executor", "flows 9 1s power-cut 1s", "flows 4 1s power-cut 1s 2s kill-executor"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
