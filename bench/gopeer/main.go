// Command gopeer measures nats.go the way client.py measures the Python clients, and prints one number: the rate.
//
//	gopeer URL publish|deliver|request SIZE COUNT
//	gopeer URL fetch|pushed|queue|kv|watch|publish_async|consume SIZE COUNT
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	subject  = "bench.client"
	warmUp   = 100
	patience = 2 * time.Second
)

func main() {
	if len(os.Args) != 5 {
		fail(fmt.Errorf("usage: gopeer URL publish|deliver|request|fetch|pushed|queue|kv|watch|publish_async|consume SIZE COUNT"))
	}
	cases := map[string]func(string, []byte, int) time.Duration{
		"publish": publish, "deliver": deliver, "request": request,
		"fetch": fetch, "pushed": pushed, "queue": queue, "kv": kv, "watch": watch,
		"publish_async": publishAsync, "consume": consume,
	}
	run, known := cases[os.Args[2]]
	size, sizeError := strconv.Atoi(os.Args[3])
	count, countError := strconv.Atoi(os.Args[4])
	if !known || sizeError != nil || countError != nil || size < 0 || count < 1 {
		fail(fmt.Errorf("gopeer: bad arguments %v", os.Args[1:]))
	}
	taken := run(os.Args[1], make([]byte, size), count)
	fmt.Printf("%.1f\n", float64(count)/taken.Seconds())
}

// publish: one connection, count messages, then a flush.
func publish(url string, payload []byte, count int) time.Duration {
	nc := connect(url)
	defer nc.Close()
	push(nc, payload, warmUp)
	check(nc.Flush())
	start := time.Now()
	push(nc, payload, count)
	check(nc.Flush())
	return time.Since(start)
}

// deliver: one connection publishes, another one's callback counts.
func deliver(url string, payload []byte, count int) time.Duration {
	from, to := connect(url), connect(url)
	defer from.Close()
	defer to.Close()
	received, wanted := 0, warmUp
	done := make(chan struct{})
	sub, err := to.Subscribe(subject, func(*nats.Msg) {
		received++
		if received == wanted {
			wanted += count
			done <- struct{}{}
		}
	})
	check(err)
	check(sub.SetPendingLimits(-1, -1))
	check(to.Flush())
	push(from, payload, warmUp)
	await(done)
	start := time.Now()
	push(from, payload, count)
	await(done)
	return time.Since(start)
}

// request: one connection asks, one at a time, another one's callback answers.
func request(url string, payload []byte, count int) time.Duration {
	from, to := connect(url), connect(url)
	defer from.Close()
	defer to.Close()
	_, err := to.Subscribe(subject, func(msg *nats.Msg) { check(msg.Respond(msg.Data)) })
	check(err)
	check(to.Flush())
	ask(from, payload, warmUp)
	start := time.Now()
	ask(from, payload, count)
	return time.Since(start)
}

func connect(url string) *nats.Conn {
	nc, err := nats.Connect(url)
	check(err)
	return nc
}

func push(nc *nats.Conn, payload []byte, count int) {
	for range count {
		check(nc.Publish(subject, payload))
	}
}

func ask(nc *nats.Conn, payload []byte, count int) {
	for range count {
		_, err := nc.Request(subject, payload, patience)
		check(err)
	}
}

func await(done chan struct{}) {
	select {
	case <-done:
	case <-time.After(time.Minute):
		fail(fmt.Errorf("gopeer: messages are missing"))
	}
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
