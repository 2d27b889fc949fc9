package edge
import ("testing";"time";"context";"fmt";"github.com/nats-io/nats.go/jetstream")
func TestTmp(t *testing.T){
 e:=setup(t,jetstream.MemoryStorage)
 w,r:=e.writer(),e.reader()
 t0:=time.Now()
 for i:=range 200000 {
  ctx,c:=context.WithTimeout(e.ctx,8*time.Second)
  if err:=w.Send(ctx,[]byte("x"));err!=nil{
   dump(e); t.Fatal("send",i,err)}
  if _,err:=r.Recv(ctx);err!=nil{
   dump(e); t.Fatal("recv",i,err, time.Since(t0))}
  c()
 }
 t.Log(time.Since(t0))
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
