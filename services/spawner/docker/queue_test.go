package docker

import "testing"

func TestQueue(t *testing.T) {
	q := newQueue[int]()
	want := func(key string, item int) {
		t.Helper()
		if k, i, ok := q.first(); k != key || i != item || ok != (key != "") {
			t.Errorf("first is %q, %d, %v; want %q, %d", k, i, ok, key, item)
		}
	}
	want("", 0)
	q.put("a", 1)
	q.put("b", 2)
	q.put("a", 3)
	<-q.changed
	select {
	case <-q.changed:
		t.Error("changed received twice")
	default:
	}
	want("a", 3)
	q.drop("a")
	q.drop("a")
	q.drop("never was")
	want("b", 2)
	q.put("a", 4)
	want("b", 2)
	q.drop("b")
	want("a", 4)
}
