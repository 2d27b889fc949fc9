package edge
import ("testing";"fmt";"github.com/nats-io/nats-server/v2/server";"github.com/nats-io/nats.go/jetstream";"github.com/dagyo/dagyo/pkg/stream")
type lg struct{t *testing.T}
func (l lg) Noticef(f string, v ...any){}
func (l lg) Warnf(f string, v ...any){ fmt.Printf("WARN "+f+"\n",v...)}
func (l lg) Fatalf(f string, v ...any){ fmt.Printf("FATAL "+f+"\n",v...)}
func (l lg) Errorf(f string, v ...any){ fmt.Printf("ERR "+f+"\n",v...)}
func (l lg) Debugf(f string, v ...any){}
func (l lg) Tracef(f string, v ...any){}
var _ server.Logger = lg{}
func TestTmp(t *testing.T){
 e:=setup(t,jetstream.FileStorage)
 e.srv.SetLogger(lg{t},false,false)
 for i:=range 3000 {
  fl:=fmt.Sprint("q",i)
  if _,err:=e.observer.CreateStream(e.ctx,stream.StreamConfig(fl,1,jetstream.FileStorage,64));err!=nil{ t.Fatal(i,err)}
  e.addr=address(fl,0)
  f:=forge(e); f.publish(f.frame())
  if err:=e.observer.DeleteStream(e.ctx,"FLOW-"+fl);err!=nil{ t.Fatal(i,err)}
 }
}
