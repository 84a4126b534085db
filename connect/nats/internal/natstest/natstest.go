// Package natstest runs NATS servers for a test: one inside of its process, or a cluster
// whose members are killed and come back.
package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
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
	s := &Server{t: t, options: options(t.TempDir())}
	s.options.Port = freePorts(t, 1)[0]
	if edit != nil {
		edit(&s.options)
	}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

func options(dir string) server.Options {
	return server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir,
		NoSigs: true, NoLog: true, MaxPayload: 1 << 20,
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 8 << 30,
	}
}

// Start starts it again after Stop.
func (s *Server) Start() {
	s.t.Helper()
	o := s.options // the server changes what it is given
	running, err := server.NewServer(&o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = running
	running.Start()
	if !running.ReadyForConnections(patience) {
		s.t.Fatal("a NATS server does not start")
	}
}

// freePorts returns ports that nobody has now. They are below those that systems give to
// whoever asks for any: a server that is away for a moment gets its own again.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for tries := 0; len(ports) < n; tries++ {
		port := 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			defer l.Close() // when all are known, so that they differ
			ports = append(ports, port)
		} else if tries == 100 {
			t.Fatal(err)
		}
	}
	return ports
}

// Example starts a server for an example, which has no [testing.TB], and returns its URL.
func Example() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "nats")
	if err != nil {
		panic(err)
	}
	o := options(dir)
	s, err := server.NewServer(&o)
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		panic("a NATS server does not start")
	}
	return s.ClientURL(), func() {
		s.Shutdown()
		s.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}
}

// Stop ends it.
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
