package std

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/itchyny/gojq"
	"pgregory.net/rapid"
)

func sorted(t rapid.TB, s *sorting, records []string) []string {
	t.Helper()
	defer func() {
		if err := s.spill.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, r := range records {
		if err := s.add(context.Background(), []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	got := []string{}
	if err := s.each(func(record []byte) error { got = append(got, string(record)); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

// A sort with any memory, of any records, is that of slices.SortStableFunc.
func TestSortIsStableWhateverItsMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.SampledFrom([]string{
			"null", "true", "1", "1.0", "-0", "2e300", "1e999", "123456789012345678901", `"a"`, `"é"`, "[1]", `{"a":1}`, `{"a":1.0}`, "[]",
		})).Draw(t, "keys")
		records := make([]string, len(keys))
		for i, k := range keys {
			records[i] = fmt.Sprintf(`{"k":%s,"i":%d}`, k, i)
		}
		s := &sorting{
			memory: rapid.IntRange(1, 2000).Draw(t, "memory"), spill: spill{limit: 1 << 20},
			descending: rapid.Bool().Draw(t, "descending"),
		}
		keyed := rapid.Bool().Draw(t, "keyed")
		if keyed {
			var err error
			if s.key, err = compileKey("key", ".k"); err != nil {
				t.Fatal(err)
			}
		}
		want := slices.Clone(records)
		slices.SortStableFunc(want, func(a, b string) int {
			if s.descending {
				a, b = b, a
			}
			if !keyed {
				return strings.Compare(a, b)
			}
			return gojq.Compare(keyAt(t, a), keyAt(t, b))
		})
		if got := sorted(t, s, records); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func keyAt(t rapid.TB, record string) any {
	t.Helper()
	v, err := jqCodec{}.Decode([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)["k"]
}

// Keys that JSON does not have sort the same in memory and in the file.
func TestSortByNumbersBeyondJSON(t *testing.T) {
	var orders [][]string
	for _, memory := range []int{1, 1 << 20} {
		key, err := compileKey("key", `if . == 1 then nan elif . == 2 then infinite elif . == 3 then -infinite else . end`)
		if err != nil {
			t.Fatal(err)
		}
		orders = append(orders, sorted(t, &sorting{memory: memory, key: key, spill: spill{limit: 1 << 20}},
			[]string{"2", "false", "1", "0", "3", "null", "1"}))
	}
	if want := []string{"1", "null", "1", "false", "3", "0", "2"}; !slices.Equal(orders[0], want) || !slices.Equal(orders[1], want) {
		t.Errorf("got %q, want %q", orders, want)
	}
}

func TestSortOfManyRunsAndLargeRecords(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	records := make([]string, 20000)
	for i := range records {
		records[i] = fmt.Sprintf("%08d%s", random.IntN(1e6), strings.Repeat("x", random.IntN(200)))
	}
	records[777] = strings.Repeat("9", 3*spillBuffer)
	want := slices.Sorted(slices.Values(records))
	s := &sorting{memory: 64 << 10, spill: spill{limit: SortLimit}}
	if got := sorted(t, s, records); !slices.Equal(got, want) {
		t.Error("the records are not in order")
	}
	if n := len(s.spill.ends); n < 50 {
		t.Errorf("%d runs", n)
	}
}

func TestSortRefusesMoreThanItsLimit(t *testing.T) {
	s := &sorting{memory: 1, spill: spill{limit: 2 * (1 + 1 + 4)}}
	defer func() { _ = s.spill.close() }()
	for i := range 2 {
		if err := s.add(t.Context(), []byte("abcd")); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := s.add(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "larger than 12 bytes, which is the maximum of sort") {
		t.Error(err)
	}
}

// Nothing is left where temporary files are, and a folder that does not exist is an error that names it.
func TestSortLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := &sorting{memory: 1, spill: spill{limit: 100}}
	if err := s.add(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the file has a name: %v, %v", left, err)
	}
	if err := s.spill.close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir+"/gone")
	s = &sorting{memory: 1, spill: spill{limit: 100}}
	if err := s.add(t.Context(), []byte("a")); err == nil || !strings.Contains(err.Error(), "cannot make a temporary file") || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

func TestSortStopsWhenItCannotSend(t *testing.T) {
	s := &sorting{memory: 1, spill: spill{limit: 100}}
	defer func() { _ = s.spill.close() }()
	for _, r := range []string{"b", "a"} {
		if err := s.add(t.Context(), []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	gone := errors.New("gone")
	if err := s.each(func([]byte) error { return gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestCanonicalKeys(t *testing.T) {
	for _, equal := range [][]string{
		{"1", "1.0", "10e-1", "1E0"}, {"0", "-0", "-0.0", "0e5"}, {"100000000000000000000"}, {"0.1", "1e-1"}, {"1e999"}, {"-1e999"},
		{`"1"`}, {`"a\u0041"`, `"aA"`}, {"null"}, {`"null"`}, {"[1,2]", "[1.0, 2]"}, {"[12]"}, {`["1,2"]`}, {"[[1],2]"}, {"[[1,2]]"},
		{`{"a":1,"b":2}`, `{"b":2.0,"a":1}`}, {`{"a":{"b":2}}`}, {"{}"}, {"[]"}, {"true"}, {"false"}, {`""`},
	} {
		first := ""
		for _, text := range equal {
			v, err := jqCodec{}.Decode([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got := string(canonical(nil, v))
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s is %s, %s is %s", text, got, equal[0], first)
			}
		}
	}
}

// Different values have different texts, and equal ones the same.
func TestCanonicalKeysAgreeWithJQ(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any {
		text := rapid.SampledFrom([]string{
			"1", "1.0", "1.5", "15e-1", "-0", "0", "null", "true", `"1"`, `"null"`, "[1]", "[1.0]", "[[1]]", `["1,"]`, `["1",""]`, `{"a":1}`,
			`{"a":[1]}`, `{"b":1}`, `{"a":1,"b":1}`, `{"a:1,b":1}`, "[]", "{}", `""`, `"\""`, `"\\"`, "9007199254740991", "9007199254740991.0",
		}).Draw(t, "text")
		v, err := jqCodec{}.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		same := bytes.Equal(canonical(nil, a), canonical(nil, b))
		if want := gojq.Compare(a, b) == 0; same != want {
			t.Fatalf("%v and %v: the texts are equal: %v; jq says %v", a, b, same, want)
		}
	})
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := memory{most: 3, forgets: true, known: make(map[digest]bool)}
	var got []bool
	for _, k := range []byte{1, 2, 1, 3, 4, 2, 1, 3, 4} { // 4 takes the place of 1, 1 that of 2
		fresh, err := m.add(digest{k})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fresh)
	}
	if want := []bool{true, true, false, true, true, false, true, false, false}; !slices.Equal(got, want) || len(m.known) != 3 {
		t.Errorf("got %v, %d known; want %v", got, len(m.known), want)
	}
}

func TestTableRefusesMoreThanItsLimit(t *testing.T) {
	one := table{limit: joinOverhead + 3, rows: make(map[string][][]byte)}
	if err := one.add("k", []byte("12")); err != nil {
		t.Fatal(err)
	}
	if err := one.add("", []byte("is dropped")); err != nil {
		t.Fatal(err)
	}
	if err := one.add("k", nil); err == nil || !strings.Contains(err.Error(), "connect the smaller input to b") {
		t.Error(err)
	}
	if !json.Valid(joined([]byte(" 1 "), one.rows["k"][0])) {
		t.Error("a pair is not JSON")
	}
}
