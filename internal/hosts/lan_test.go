package hosts

import (
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

// TestPhone: a page that a phone has loaded over plain http, from an address of the LAN,
// can send beacons by itself, and they are the site's own. Over https with a certificate
// of one's own everything works, the browser client too, which reports nothing from plain
// http (TestDebug in internal/browsers).
func TestPhone(t *testing.T) {
	t.Run("http", func(t *testing.T) {
		h := newHost(t)
		s := serve(t, h)
		s.client.Transport = plain{s.client.Transport.(*http.Transport)}
		r := s.request(t, beacon.Text("by hand"))
		r.Host = "192.168.1.20:8080"
		r.Header.Set("Origin", "http://192.168.1.20:8080")
		s.expect(t, r, http.StatusNoContent, "")
	})
	t.Run("https", func(t *testing.T) {
		h := newHost(t, func(c *beacon.Config) { c.Path = "" })
		dir := t.TempDir()
		pool := proxy{}.writeCertificate(t, dir)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := lanServer(h.Middleware(app))
		if server.Addr != ":8443" {
			t.Errorf("it listens on %q", server.Addr)
		}
		served := make(chan error, 1)
		go func() { served <- server.ServeTLS(ln, filepath.Join(dir, "app.pem"), filepath.Join(dir, "app.key")) }()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		t.Cleanup(func() {
			transport.CloseIdleConnections()
			_ = server.Close()
			<-served
		})
		s := new(site).reach("https://"+ln.Addr().String(), transport).at("/_pb")
		visit{ways[0], s, h}.run(t)
		checkScript(t, s, h, h.ScriptURL())
	})
}

// lanServer listens on all addresses of the machine, as in
//
//	log.Fatal(server.ListenAndServeTLS("lan.pem", "lan-key.pem"))
func lanServer(app http.Handler) *http.Server {
	server := &http.Server{
		Addr:              ":8443", // every address of this machine; "127.0.0.1:8443" is for this machine alone
		Handler:           app,
		ReadHeaderTimeout: 5 * time.Second, // a client that never comes to its end
		IdleTimeout:       time.Minute,     // a connection that nobody uses costs 22 KB
		MaxHeaderBytes:    64 << 10,        // of which the query is a part; 1 MiB by default
	}
	return server
}
