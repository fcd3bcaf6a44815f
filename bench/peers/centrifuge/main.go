// A peer of the distribution node: the same fan-out on the Go library Centrifuge, without history or recovery.
//
// Updates come over a connection to FEED_PORT, as lines of `event TAB update`, and are published to the event's channel;
// clients on WS_PORT name the channels they want as they connect, so that they are subscribed at once.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

type wanted struct {
	Events []string `json:"events"`
}

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	check(err)
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		var asked wanted
		if err := json.Unmarshal(e.Data, &asked); err != nil {
			return centrifuge.ConnectReply{}, centrifuge.ErrorBadRequest
		}
		subscriptions := make(map[string]centrifuge.SubscribeOptions, len(asked.Events))
		for _, event := range asked.Events {
			subscriptions[event] = centrifuge.SubscribeOptions{}
		}
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: subscriptions,
		}, nil
	})
	check(node.Run())
	http.Handle("/v1/stream", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	feed, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("FEED_PORT"))
	check(err)
	stream, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("WS_PORT"))
	check(err)
	go take(node, feed)
	check(http.Serve(stream, nil))
}

func take(node *centrifuge.Node, feed net.Listener) {
	for {
		connection, err := feed.Accept()
		check(err)
		lines := bufio.NewScanner(connection)
		for lines.Scan() {
			event, update, _ := bytes.Cut(lines.Bytes(), []byte("\t"))
			_, err := node.Publish(string(event), bytes.Clone(update))
			check(err)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
