package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	batch        = 500
	queueClients = 8
	keys         = 1000
)

// fetch: a stream is filled, and one consumer's messages are fetched 500 at a time and acknowledged.
func fetch(url string, payload []byte, count int) time.Duration {
	return drain(url, payload, count, 1, jetstream.LimitsPolicy)
}

// queue: a work queue is filled, and eight connections fetch from its consumer.
func queue(url string, payload []byte, count int) time.Duration {
	return drain(url, payload, count, queueClients, jetstream.WorkQueuePolicy)
}

func drain(url string, payload []byte, count, clients int, retention jetstream.RetentionPolicy) time.Duration {
	ctx, js, done := filled(url, payload, count, retention)
	defer done()
	config := jetstream.ConsumerConfig{Durable: "C", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 50 * batch}
	_, err := js.CreateConsumer(ctx, stream, config)
	check(err)
	var left sync.WaitGroup
	shares := make(chan int, count/batch+1)
	for at := 0; at < count; at += batch {
		shares <- min(batch, count-at)
	}
	close(shares)
	start := time.Now()
	for range clients {
		left.Go(func() {
			nc := connect(url)
			defer nc.Close()
			own, err := jetstream.New(nc)
			check(err)
			consumer, err := own.Consumer(ctx, stream, "C")
			check(err)
			for share := range shares {
				take(consumer, share)
			}
			check(nc.Flush())
		})
	}
	left.Wait()
	return time.Since(start)
}

// take fetches and acknowledges so many messages.
func take(consumer jetstream.Consumer, count int) {
	for count > 0 {
		found, err := consumer.Fetch(count)
		check(err)
		for msg := range found.Messages() {
			check(msg.Ack())
			count--
		}
		check(found.Error())
	}
}

// pushed: a stream is filled, and an ordered consumer's callback counts.
func pushed(url string, payload []byte, count int) time.Duration {
	_, _, done := filled(url, payload, count, jetstream.LimitsPolicy)
	defer done()
	nc := connect(url)
	defer nc.Close()
	js, err := nc.JetStream()
	check(err)
	received := 0
	over := make(chan struct{})
	start := time.Now()
	sub, err := js.Subscribe(stream+".a", func(*nats.Msg) {
		received++
		if received == count {
			over <- struct{}{}
		}
	}, nats.AckNone(), nats.DeliverAll())
	check(err)
	check(sub.SetPendingLimits(-1, -1))
	await(over)
	return time.Since(start)
}

// kv: a value is put and got, one request at a time.
func kv(url string, payload []byte, count int) time.Duration {
	ctx, bucket, done := bucket(url)
	defer done()
	start := time.Now()
	for number := range count / 2 {
		key := fmt.Sprintf("k%d", number%keys)
		_, err := bucket.Put(ctx, key, payload)
		check(err)
		_, err = bucket.Get(ctx, key)
		check(err)
	}
	return time.Since(start)
}

// watch: all keys of a bucket are seen by a watcher.
func watch(url string, payload []byte, count int) time.Duration {
	ctx, js, done := connected(url)
	defer done()
	bucket, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: stream})
	check(err)
	for number := range count {
		_, err := js.PublishAsync(fmt.Sprintf("$KV.%s.k%d", stream, number), payload)
		check(err)
	}
	<-js.PublishAsyncComplete()
	start := time.Now()
	watcher, err := bucket.WatchAll(ctx)
	check(err)
	for entry := range watcher.Updates() {
		if entry == nil {
			break
		}
		count--
	}
	taken := time.Since(start)
	check(watcher.Stop())
	if count != 0 {
		fail(fmt.Errorf("gopeer: %d keys are missing", count))
	}
	check(js.DeleteKeyValue(ctx, stream))
	return taken
}

// publishAsync: into a stream that streams_client.py has made, until the last acknowledgement is there.
func publishAsync(url string, payload []byte, count int) time.Duration {
	_, js, done := connected(url)
	defer done()
	start := time.Now()
	for range count {
		_, err := js.PublishAsync(theirs, payload)
		check(err)
	}
	<-js.PublishAsyncComplete()
	return time.Since(start)
}

// consume: what streams_client.py has filled, each message acknowledged, until the server knows that of all.
func consume(url string, _ []byte, count int) time.Duration {
	ctx, js, done := connected(url)
	defer done()
	consumer, err := js.Consumer(ctx, "B", "C")
	check(err)
	over := make(chan struct{})
	received := 0
	start := time.Now()
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		check(msg.Ack())
		received++
		if received == count {
			over <- struct{}{}
		}
	})
	check(err)
	await(over)
	for {
		info, err := consumer.Info(ctx)
		check(err)
		if info.AckFloor.Stream >= uint64(count) {
			break
		}
	}
	taken := time.Since(start)
	consuming.Stop()
	return taken
}

const (
	stream = "GOPEER"
	theirs = "b"
)

func connected(url string) (context.Context, jetstream.JetStream, func()) {
	nc := connect(url)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	return ctx, js, func() {
		cancel()
		nc.Close()
	}
}

func bucket(url string) (context.Context, jetstream.KeyValue, func()) {
	ctx, js, done := connected(url)
	made, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: stream})
	check(err)
	return ctx, made, func() {
		check(js.DeleteKeyValue(ctx, stream))
		done()
	}
}

// filled makes a stream with so many messages; it is gone when the function that comes with it has been called.
func filled(url string, payload []byte, count int, retention jetstream.RetentionPolicy) (context.Context, jetstream.JetStream, func()) {
	ctx, js, done := connected(url)
	config := jetstream.StreamConfig{Name: stream, Subjects: []string{stream + ".>"}, Retention: retention}
	_, err := js.CreateStream(ctx, config)
	check(err)
	for range count {
		_, err := js.PublishAsync(stream+".a", payload)
		check(err)
	}
	<-js.PublishAsyncComplete()
	return ctx, js, func() {
		check(js.DeleteStream(ctx, stream))
		done()
	}
}
