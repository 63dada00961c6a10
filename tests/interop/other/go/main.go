// Command other does with nats.go what its users do, against the server whose URL is its one argument. It prints a line for each
// thing that worked, and ends with 1 at the first that did not.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const patience = 20 * time.Second

func check(name string, ok bool, details ...any) {
	if !ok {
		fmt.Println("FAILED", name, details)
		os.Exit(1)
	}
	fmt.Println("ok", name)
}

func must(name string, err error) {
	if err != nil {
		check(name, false, err)
	}
}

func connect(options ...nats.Option) *nats.Conn {
	options = append(options, nats.NoReconnect(), nats.Timeout(patience))
	if authority := os.Getenv("AUTHORITY"); authority != "" {
		options = append(options, nats.RootCAs(authority))
	}
	nc, err := nats.Connect(os.Args[1], options...)
	must("connect", err)
	return nc
}

func next(sub *nats.Subscription) *nats.Msg {
	msg, err := sub.NextMsg(patience)
	must("next message", err)
	return msg
}

func publishAndSubscribe(one, two *nats.Conn) {
	sub, err := one.SubscribeSync("go.pub.*")
	must("subscribe", err)
	must("flush", one.Flush())
	for i := range 1000 {
		must("publish", two.PublishRequest("go.pub.a", "answers", []byte(strconv.Itoa(i))))
	}
	for i := range 1000 {
		msg := next(sub)
		if string(msg.Data) != strconv.Itoa(i) || msg.Subject != "go.pub.a" || msg.Reply != "answers" {
			check("publish and subscribe", false, i, msg)
		}
	}
	big := bytes.Repeat([]byte{0, 1, 2, 255}, 1<<18)
	must("publish", two.Publish("go.pub.b", big))
	check("publish and subscribe", bytes.Equal(next(sub).Data, big))
	must("unsubscribe", sub.Unsubscribe())
}

func limits(one, two *nats.Conn) {
	sub, err := one.SubscribeSync("go.limit")
	must("subscribe", err)
	must("limit", sub.AutoUnsubscribe(3))
	must("flush", one.Flush())
	for range 5 {
		must("publish", two.Publish("go.limit", nil))
	}
	for range 3 {
		next(sub)
	}
	must("flush", two.Flush())
	_, err = sub.NextMsg(50 * time.Millisecond)
	check("auto-unsubscribe", err != nil)
	check("max payload", errors.Is(one.Publish("a", make([]byte, one.MaxPayload()+1)), nats.ErrMaxPayload))
}

func queues(one, two *nats.Conn) {
	var mutex sync.Mutex
	shares := map[int]int{}
	done := make(chan bool)
	for member, nc := range []*nats.Conn{one, two, one} {
		_, err := nc.QueueSubscribe("go.jobs.>", "workers", func(*nats.Msg) {
			mutex.Lock()
			defer mutex.Unlock()
			shares[member]++
			if shares[0]+shares[1]+shares[2] == 300 {
				close(done)
			}
		})
		must("queue subscribe", err)
	}
	must("flush", one.Flush())
	must("flush", two.Flush())
	for range 300 {
		must("publish", two.Publish("go.jobs.new", nil))
	}
	select {
	case <-done:
	case <-time.After(patience):
	}
	check("queue groups", len(shares) == 3, shares)
}

func requests(one, two *nats.Conn) {
	_, err := one.Subscribe("go.echo", func(msg *nats.Msg) { _ = msg.Respond(bytes.ToUpper(msg.Data)) })
	must("subscribe", err)
	must("flush", one.Flush())
	for i := range 100 {
		msg, err := two.Request("go.echo", []byte("x"+strconv.Itoa(i)), patience)
		must("request", err)
		if string(msg.Data) != "X"+strconv.Itoa(i) {
			check("requests", false, msg)
		}
	}
	check("requests", true)
	_, err = two.Request("go.nobody", nil, patience)
	check("no responders", errors.Is(err, nats.ErrNoResponders), err)
	old := connect(nats.UseOldRequestStyle())
	defer old.Close()
	msg, err := old.Request("go.echo", []byte("old"), patience)
	check("old style request", err == nil && string(msg.Data) == "OLD", err)
}

func headers(one, two *nats.Conn) {
	sub, err := one.SubscribeSync("go.headers")
	must("subscribe", err)
	must("flush", one.Flush())
	msg := nats.NewMsg("go.headers")
	msg.Data = []byte("data")
	msg.Header.Add("Trace", "1")
	msg.Header.Add("Trace", "2")
	msg.Header.Set("Empty", "")
	must("publish", two.PublishMsg(msg))
	got := next(sub)
	check("headers", len(got.Header.Values("Trace")) == 2 && got.Header.Get("Trace") == "1" && string(got.Data) == "data", got.Header)
}

func refusals() {
	told := make(chan error, 10)
	nc := connect(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { told <- err }))
	defer nc.Close()
	_, err := nc.QueueSubscribeSync("a", "_sys_")
	must("subscribe", err)
	must("flush", nc.Flush())
	select {
	case err = <-told:
	case <-time.After(patience):
	}
	check("permissions violation", errors.Is(err, nats.ErrPermissionViolation) && nc.IsConnected(), err)
}

func draining(one *nats.Conn) {
	closed := make(chan bool)
	nc := connect(nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	received := 0
	_, err := nc.Subscribe("go.drain", func(*nats.Msg) { received++ })
	must("subscribe", err)
	must("flush", nc.Flush())
	for range 500 {
		must("publish", one.Publish("go.drain", nil))
	}
	must("flush", one.Flush())
	must("drain", nc.Drain())
	select {
	case <-closed:
	case <-time.After(patience):
	}
	check("drain", received == 500, received)
}

func main() {
	one, two := connect(nats.Name("one")), connect(nats.Name("two"))
	check("connect", one.HeadersSupported() && one.ConnectedServerId() != "")
	rtt, err := one.RTT()
	check("round trip", err == nil && rtt > 0, err)
	publishAndSubscribe(one, two)
	limits(one, two)
	queues(one, two)
	requests(one, two)
	headers(one, two)
	refusals()
	draining(one)
	one.Close()
	two.Close()
	fmt.Println("done")
}
