package hosts

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/example"
)

// A proxy is a reverse proxy as it stands in a distribution, with a configuration of
// testdata, which docs/proxies.md shows.
type proxy struct {
	config string
	// command is how it is started in dir, where the configuration is.
	command func(dir string) []string
	// whole makes a whole configuration of the part that matters.
	whole func(dir, config string) string
	tls   bool
}

// proxies are all configurations that are right.
var proxies = []proxy{
	nginx("nginx.conf", false),
	nginx("nginx-tls.conf", true),
	nginx("nginx-unbuffered.conf", false),
	caddy("Caddyfile", false),
	caddy("Caddyfile", true),
	haproxy("haproxy.cfg", false),
	haproxy("haproxy-tls.cfg", true),
}

func (p proxy) name() string {
	if p.tls {
		return p.config + " https"
	}
	return p.config
}

func nginx(config string, tls bool) proxy {
	return proxy{config, func(dir string) []string {
		return []string{"nginx", "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "config")}
	}, func(dir, config string) string {
		// What Debian's own file has around it. As one process it needs no user to change to.
		return "daemon off;\nmaster_process off;\npid pid;\nevents {}\nhttp {\naccess_log off;\n" +
			"client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n" +
			config + "}\n"
	}, tls}
}

func caddy(config string, tls bool) proxy {
	return proxy{config, func(dir string) []string {
		return []string{"caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "config")}
	}, func(dir, config string) string {
		certificate := ""
		if tls {
			certificate = "\ttls " + dir + "/app.pem " + dir + "/app.key\n"
		}
		first, rest, _ := strings.Cut(config, "\n")
		global := "{\n\tadmin off\n\tauto_https disable_redirects\n"
		if first == "{" {
			return global + rest
		}
		return global + "}\n" + first + "\n" + certificate + rest
	}, tls}
}

func haproxy(config string, tls bool) proxy {
	return proxy{config, func(dir string) []string {
		return []string{"haproxy", "-db", "-f", filepath.Join(dir, "config")}
	}, func(_, config string) string { return config }, tls}
}

// visitor is the address from which the tests come to a proxy, which is none of those
// that are trusted.
const visitor = "127.0.0.2"

// start starts the proxy in front of a backend, and returns the site as visitors see it:
// over plain http from a name that is not localhost, where browsers send no Sec-Fetch
// headers, or over https, where they do.
func (p proxy) start(t *testing.T, backend *site) *site {
	t.Helper()
	dir := t.TempDir()
	raw, err := os.ReadFile(filepath.Join("testdata", p.config))
	if err != nil {
		t.Fatal(err)
	}
	pool := p.writeCertificate(t, dir)
	for attempt := range 5 { // somebody else may have been faster to take the port
		port := example.FreePort(t)
		replaced := strings.NewReplacer(
			"127.0.0.1:8080", backend.addr(),
			"listen 80;", "listen 127.0.0.1:"+port+";",
			"listen 443 ", "listen 127.0.0.1:"+port+" ",
			"bind :80", "bind 127.0.0.1:"+port,
			"bind :443", "bind 127.0.0.1:"+port,
			"app.example {", p.scheme()+"://"+p.host()+":"+port+" {\n\tbind 127.0.0.1",
			"/etc/ssl/", dir+"/",
			"/srv/www", dir,
			"read_body 10s", "read_body "+readTimeout.String(),
		).Replace(string(raw))
		config := p.whole(dir, replaced)
		if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, ok := p.run(t, dir, "127.0.0.1:"+port); !ok {
			t.Logf("attempt %d: %s", attempt, said)
			continue
		}
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(visitor)}}
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: pool},
			ForceAttemptHTTP2: p.tls,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, "127.0.0.1:"+port)
			},
		}
		t.Cleanup(transport.CloseIdleConnections)
		s := &site{listens: "127.0.0.1:" + port}
		origin := p.scheme() + "://" + p.host() + ":" + port
		if p.tls {
			return s.reach(origin, transport)
		}
		return s.reach(origin, plain{transport})
	}
	t.Fatal("it does not start")
	return nil
}

func (p proxy) scheme() string {
	if p.tls {
		return "https"
	}
	return "http"
}

func (p proxy) host() string {
	if p.tls {
		return "example.com" // of httptest's certificate
	}
	return "intranet.test"
}

// run starts the program and waits until it listens at addr, or until it ends.
func (p proxy) run(t *testing.T, dir, addr string) (said string, ok bool) {
	t.Helper()
	args := p.command(dir)
	path, err := exec.LookPath(args[0])
	if err != nil {
		// Debian has it where users' paths do not lead.
		if path, err = exec.LookPath("/usr/sbin/" + args[0]); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is told to end
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s: %s", args[0], out.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			return out.String(), false
		default:
		}
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return "", true
		}
	}
	return "it never listens", false
}

// writeCertificate writes httptest's own, and returns what trusts it.
func (p proxy) writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	cert := srv.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	for name, content := range map[string][]byte{"app.key": key, "app.pem": append(chain, key...)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

// plain takes away what browsers send only over https and to localhost.
type plain struct{ *http.Transport }

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
		r.Header.Del(name)
	}
	return p.Transport.RoundTrip(r)
}
