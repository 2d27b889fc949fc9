package edge
import ("testing";"time";"context";"fmt";"github.com/nats-io/nats.go/jetstream")
func TestTmp(t *testing.T){
 for j := range 200 {
 e:=setup(t,jetstream.MemoryStorage)
 e.addr.Window=1033; e.addr.Frames=16
 w,r:=e.writer(),e.reader()
 t0:=time.Now()
  ctx,c:=context.WithTimeout(e.ctx,12*time.Second)
  e.kick(e.in)
  wait:=start(t,func() error{ return sendAll(ctx,w,[]int{1758,0,304})})
  if err:=expect(ctx,r,[]int{1758,0,304},0);err!=nil{
   dump(e); t.Fatal(w.Send(e.ctx,nil),"recv",j,err, time.Since(t0))}
   wait()
  c()
 t.Log(time.Since(t0))
 }
}
func dump(e *bundle){
 fmt.Printf("%+v\n",e.state())
 c,err:=e.observer.Consumer(e.ctx,e.addr.Stream,e.addr.Consumer)
 fmt.Println(err)
 if err==nil {fmt.Printf("%+v\n",*c.CachedInfo())}
 s,_:=e.observer.Stream(e.ctx,e.addr.Stream)
 m,err:=s.GetLastMsgForSubject(e.ctx,e.addr.Credit)
 fmt.Println(m,err)
}
