package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A cluster is three JetStream nodes in this process. In production they are three
// nats-server processes on three machines, whose configuration says
//
//	jetstream { store_dir: /var/lib/nats, sync_interval: always }
//
// because by default a node acknowledges what its disk may not have for another two
// minutes, and three nodes in one room can lose power together.
type cluster struct {
	dir    string
	nodes  [3]*server.Server
	ports  [3]int // where the nodes talk to each other
	routes []*url.URL
}

const nodeTimeout = 30 * time.Second

// startCluster starts the nodes, which keep what they have in dir.
func startCluster(dir string) (*cluster, error) {
	c := &cluster{dir: dir}
	if err := choose(c.ports[:]); err != nil {
		return nil, err
	}
	for _, port := range c.ports {
		c.routes = append(c.routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for n := range c.nodes {
		if err := c.start(n); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// choose chooses ports that are free: who goes away and comes back has to be where it was,
// and a node has to know where the others will be. They are below those that systems give
// to whoever asks for any.
func choose(ports []int) error {
	for i := range ports {
		ln, err := listen()
		if err != nil {
			return err
		}
		defer ln.Close()
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return nil
}

func listen() (ln net.Listener, err error) {
	for range 100 {
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			break
		}
	}
	return ln, err
}

// start starts a node, for the first time or again.
func (c *cluster) start(n int) error {
	name := fmt.Sprintf("node-%d", n+1)
	node, err := server.NewServer(&server.Options{
		ServerName: name,
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		Cluster:    server.ClusterOpts{Name: "fleet", Host: "127.0.0.1", Port: c.ports[n]},
		Routes:     c.routes,
		JetStream:  true,
		StoreDir:   filepath.Join(c.dir, name),
		SyncAlways: true, // an acknowledgement means that the disks of two nodes have it

		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  1 << 30,

		NoSigs: true, // signals are the program's
		NoLog:  true,
	})
	if err != nil {
		return err
	}
	c.nodes[n] = node
	node.Start()
	if !node.ReadyForConnections(nodeTimeout) {
		return fmt.Errorf("%s does not start", name)
	}
	return nil
}

// stop stops a node. It has the time to say so to the others, which a crash would not
// give it: they would notice that after some seconds, and the spools wait as long.
func (c *cluster) stop(n int) {
	c.nodes[n].Shutdown()
	c.nodes[n].WaitForShutdown()
}

// leader is the node that takes what is written to the stream, or any if none does now.
func (c *cluster) leader() int {
	for n, node := range c.nodes {
		if node.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "beacon") {
			return n
		}
	}
	return 0
}

// urls are the addresses of the nodes that run, for a client, which goes on at another
// one when its own is gone.
func (c *cluster) urls() string {
	var urls []string
	for _, node := range c.nodes {
		if node.Running() {
			urls = append(urls, node.ClientURL())
		}
	}
	return strings.Join(urls, ",")
}

func (c *cluster) close() {
	for n := range c.nodes {
		if c.nodes[n] != nil {
			c.stop(n)
		}
	}
}
