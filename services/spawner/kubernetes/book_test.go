package kubernetes

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

func TestBookDecodesAsEncoded(t *testing.T) {
	b := bookOf("two=p", "one", "three=q!")
	b.Image = "sha256:aaa"
	data, err := b.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeBook(&corev1.ConfigMap{Data: data})
	if err != nil || !reflect.DeepEqual(got, b) {
		t.Errorf("%v: wrote %+v\nread %+v", err, b, got)
	}
}

func TestBookThatCannotBeRead(t *testing.T) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Data: map[string]string{keyExecutors: "nothing"}}
	if _, err := decodeBook(m); err == nil || !strings.Contains(err.Error(), "ConfigMap x") {
		t.Errorf("error is %v", err)
	}
}

// The exits of very many executors still fit into a ConfigMap.
func TestFullBook(t *testing.T) {
	b := bookOf()
	for i := range 1000 {
		b.Entries = append(b.Entries, entry{
			Executor: fmt.Sprintf("tester-%055d", i), Pod: strings.Repeat("p", 63),
			Exit: &backend.Exit{
				Instance: backend.Instance{Executor: fmt.Sprintf("tester-%055d", i), Progdef: "tester", Revision: "0123"},
				Reason:   "it ended", Detail: strings.Repeat("\x00", contract.DetailLimit),
			},
		})
	}
	data, err := b.encode()
	if err != nil {
		t.Fatal(err)
	}
	if size := len(data[keyExecutors]); size > bookRoom {
		t.Errorf("1000 executors take %d bytes", size)
	}
	if full(data) {
		t.Error("the book is full after 1000 executors")
	}
	for i := range 3500 {
		b.Entries = append(b.Entries, entry{Executor: fmt.Sprintf("other-%056d", i), Pod: strings.Repeat("p", 63)})
	}
	if data, err = b.encode(); err != nil || !full(data) || len(data[keyExecutors]) > 1<<20 {
		t.Errorf("%v: 4500 executors take %d bytes", err, len(data[keyExecutors]))
	}
}
