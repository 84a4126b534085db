package stores_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// TestAnalyticsExample: the program of examples/analytics says the same with PostgreSQL as
// with the file that its own tests are about, and finds it there when it starts again.
func TestAnalyticsExample(t *testing.T) {
	program := filepath.Join(t.TempDir(), "analytics")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "../../examples/analytics"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	const site = "https://tea.example"
	_, dsn := stores.DSN(t, store.PostgreSQL)
	data, session := t.TempDir(), "analytics"
	for run := range 2 {
		p := startAnalytics(t, program, "-data", data, "-dsn", postgresURL(dsn))
		begin := time.Now().Add(-time.Minute).UnixMilli()
		for seq := 2; run == 0 && seq > 0; seq-- { // the last report first
			p.send(session, site+"/green", seq, begin, begin+int64(seq)*20_000, 12_000*seq, 8_500*seq)
			p.send(session, site+"/black", seq, begin+10_000, begin+int64(seq)*15_000, 2_000*seq, 1_000*seq)
		}
		p.eventually("/stats/part?session="+session, `id="engaged" value="19"`, `id="elapsed" value="40"`, `id="views" value="2"`)
		p.eventually("/stats?days=7", "<bdi>"+site+"/green</bdi>", `value="17"`, "<bdi>"+site+"/black</bdi>", `value="2"`)
		p.end()
	}
}

// postgresURL writes the parameters of a connection as a URL.
func postgresURL(dsn string) string {
	u := url.URL{Scheme: "postgres"}
	q := url.Values{}
	for field := range strings.FieldsSeq(dsn) {
		name, value, _ := strings.Cut(field, "=")
		q.Set(name, value)
	}
	u.User, u.Path = url.User(q.Get("user")), "/"+q.Get("dbname")
	q.Del("user")
	q.Del("dbname")
	u.RawQuery = q.Encode()
	return u.String()
}

type analytics struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	log bytes.Buffer
}

func startAnalytics(t *testing.T, program string, args ...string) *analytics {
	t.Helper()
	p := &analytics{t: t, cmd: exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("%v\n%s", err, &p.log)
	}
	p.url = strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(line, "Listening on ")), "/")
	return p
}

func (p *analytics) end() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("it ended with %v\n%s", err, &p.log)
	}
}

// send is a report of the browser client, with times in milliseconds.
func (p *analytics) send(session, page string, seq int, start, end int64, seen, engaged int) {
	p.t.Helper()
	now := time.Now().UnixMilli()
	view := session + "." + page[strings.LastIndex(page, "/")+1:]
	body := fmt.Sprintf(`{"v":1,"m":"replace","k":"s:%[2]s","b":"b","r":1,"sid":%[1]q,"pv":%[2]q,"page":%[3]q,"via":"now","at":%[4]d,`+
		`"ev":[{"n":%[5]d,"t":%[4]d,"e":"session","d":{"start":%[6]d,"end":%[7]d,"seen":%[8]d,"engaged":%[9]d}}]}`,
		session, view, page, now, seq, start, end, seen, engaged)
	res, err := http.Post(p.url+"/_pb", "text/plain", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		p.t.Fatalf("%s: %s", res.Status, body)
	}
}

// eventually waits until a page has all of want.
func (p *analytics) eventually(path string, want ...string) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(p.url + path)
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		var missing strings.Builder
		for _, w := range want {
			if !strings.Contains(string(body), w) {
				missing.WriteString(w + "\n")
			}
		}
		if missing.String() == "" && res.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %s, without\n%sin\n%s", path, res.Status, missing.String(), body)
		}
	}
}
