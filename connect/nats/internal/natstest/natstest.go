// Package natstest runs NATS servers inside of a test: one, or a cluster whose members
// die and come back.
package natstest

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// patience is for things that take a moment, on a machine that has other things to do.
const patience = time.Minute

// A Server is one that may be stopped and started again, at the same address and with the
// same files.
type Server struct {
	t       testing.TB
	options server.Options
	running *server.Server
}

// Start starts a server with JetStream.
func Start(t testing.TB, edit func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoSigs: true, NoLog: true, MaxPayload: 1 << 20,
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 8 << 30,
	}}
	if edit != nil {
		edit(&s.options)
	}
	t.Cleanup(func() { s.Stop() })
	s.Start()
	return s
}

// Start starts it again after Stop.
func (s *Server) Start() {
	s.t.Helper()
	s.launch()
	s.wait()
}

// launch starts it and does not wait.
func (s *Server) launch() {
	s.t.Helper()
	o := s.options // the server changes what it is given
	running, err := server.NewServer(&o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = running
	running.Start()
}

func (s *Server) wait() {
	s.t.Helper()
	if !s.running.ReadyForConnections(patience) {
		s.t.Fatal("a NATS server does not start")
	}
	s.options.Port = port(s.running.Addr().String())
	if a := s.running.ClusterAddr(); a != nil {
		s.options.Cluster.Port = a.Port
	}
}

func port(address string) (port int) {
	for i := len(address) - 1; address[i] != ':'; i-- {
	}
	_, _ = fmt.Sscanf(filepath.Base(address), "127.0.0.1:%d", &port)
	return port
}

// Stop ends it, as if it were killed for all that clients and others see.
func (s *Server) Stop() {
	if s.running != nil {
		s.running.Shutdown()
		s.running.WaitForShutdown()
		s.running = nil
	}
}

// URL is where clients find it.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.options.Port) }

// Connect returns a connection as hosts should have one: it never gives up.
func Connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	options = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(0, 0)}, options...)
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}
