// Command other does with orbit.go's partitioned consumer groups what its arguments say: URL, kind (static or elastic), what to do,
// stream, group and what belongs to it. To consume, it prints a line for each message, and ends with its standard input.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/pcgroups"
)

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}

func print(message jetstream.Msg) {
	fmt.Println(message.Subject(), string(message.Data()))
	must(message.Ack())
}

func main() {
	nc, err := nats.Connect(os.Args[1])
	must(err)
	js, err := jetstream.New(nc)
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	what, stream, group, rest := os.Args[2]+" "+os.Args[3], os.Args[4], os.Args[5], os.Args[6:]
	config := jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second}
	var consuming pcgroups.ConsumerGroupConsumeContext
	switch what {
	case "static create": // partitions, members
		count, err := strconv.Atoi(rest[0])
		must(err)
		_, err = pcgroups.CreateStatic(ctx, js, stream, group, uint(count), nil, rest[1:], nil)
		must(err)
	case "elastic create": // partitions, filter of which the first * is the key
		count, err := strconv.Atoi(rest[0])
		must(err)
		var filters []pcgroups.PartitioningFilter
		if len(rest) > 1 {
			filters = []pcgroups.PartitioningFilter{{Filter: rest[1], PartitioningWildcards: []int{1}}}
		}
		_, err = pcgroups.CreateElastic(ctx, js, stream, group, uint(count), filters, 0, 0)
		must(err)
	case "elastic add":
		_, err = pcgroups.AddMembers(ctx, js, stream, group, rest)
		must(err)
	case "elastic drop":
		_, err = pcgroups.DeleteMembers(ctx, js, stream, group, rest)
		must(err)
	case "elastic active":
		members, err := pcgroups.ListElasticActiveMembers(ctx, js, stream, group)
		must(err)
		fmt.Println(strings.Join(members, " "))
	case "elastic delete":
		must(pcgroups.DeleteElastic(ctx, js, stream, group))
	case "static consume":
		consuming, err = pcgroups.StaticConsume(ctx, js, stream, group, rest[0], print, config)
		must(err)
	case "elastic consume":
		consuming, err = pcgroups.ElasticConsume(ctx, js, stream, group, rest[0], print, config)
		must(err)
	default:
		must(fmt.Errorf("what is %q", what))
	}
	if consuming != nil {
		fmt.Println("consuming")
		io.Copy(io.Discard, os.Stdin)
		consuming.Stop()
	}
	fmt.Println("done")
}
