package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain runs the program itself in the processes that start starts.
func TestMain(m *testing.M) {
	if os.Getenv("BEACON_ANALYTICS") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A program is the example, running.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	url string

	mu  sync.Mutex
	log bytes.Buffer
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *program) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), "BEACON_ANALYTICS=1"), p
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
		t.Fatalf("%v\n%s", err, p.logged())
	}
	p.url = strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(line, "Listening on ")), "/")
	return p
}

// end asks the program to end, and waits for it.
func (p *program) end() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("it ended with %v\n%s", err, p.logged())
	}
}

func (p *program) get(path string) (*http.Response, string) {
	p.t.Helper()
	res, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res, string(body)
}

// A view is one report of a page view: times in seconds after the visit's begin.
type view struct {
	page             string
	from, to         float64
	visible, engaged float64
}

// report sends what the browser client would.
func (p *program) report(session string, begin time.Time, seq int, v view) {
	p.t.Helper()
	at := func(s float64) int64 { return begin.UnixMilli() + int64(s*1e3) }
	page, err := json.Marshal(v.page)
	if err != nil {
		p.t.Fatal(err)
	}
	id := fmt.Sprintf("%s-%x", session, crc32.ChecksumIEEE(page))
	body := fmt.Sprintf(`{"v":1,"m":"replace","k":"s:%[2]s","b":"b","r":1,"sid":%[1]q,"pv":%[2]q,"page":%[3]s,"via":"now","at":%[4]d,`+
		`"ev":[{"n":%[5]d,"t":%[4]d,"e":"session","d":{"start":%[6]d,"end":%[7]d,"seen":%[8]v,"engaged":%[9]v}}]}`,
		session, id, page, time.Now().UnixMilli(), seq, at(v.from), at(v.to), v.visible*1e3, v.engaged*1e3)
	res, err := http.Post(p.url+"/_pb", "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		p.t.Fatalf("%s: %s", res.Status, body)
	}
}

// visit is one of 40 seconds, of which 23 were engaged, with two pages at once, reports
// that come twice, and the first after the last.
func (p *program) visit(session string) (begin time.Time) {
	p.t.Helper()
	begin = time.Now().Add(-time.Minute)
	green, black := view{p.url + "/green", 0, 20, 12, 8}, view{p.url + "/black", 15, 40, 20, 15}
	p.report(session, begin, 2, green)
	p.report(session, begin, 1, view{green.page, 0, 5, 5, 5})
	p.report(session, begin, 1, view{black.page, 15, 18, 3, 3})
	p.report(session, begin, 2, black)
	p.report(session, begin, 2, black)
	return begin
}

// eventually waits until a page has all of want, which are regular expressions.
func (p *program) eventually(path string, want ...string) string {
	p.t.Helper()
	var missing string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		res, body := p.get(path)
		missing = ""
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(body) {
				missing += w + "\n"
			}
		}
		if res.StatusCode == http.StatusOK && missing == "" {
			return body
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %s, without\n%sin\n%s\n%s", path, res.Status, missing, body, p.logged())
		}
	}
}

// What /stats says of one such visit.
var visited = []string{
	`id="engaged" value="23">23\.0 s<`,
	`id="elapsed" value="40">40\.0 s<`,
	`id="views" value="2">2<`,
	`<bdi>/green</bdi>[^!]*value="12">12\.0 s<[^!]*value="8">8\.0 s<`,
}

// row is a page with its views, sessions, median of the engaged seconds, entries and exits.
func row(page string, views, sessions int, engaged string, entries, exits int) string {
	return fmt.Sprintf(`<bdi>%s</bdi></th>\s*<td class="n">%d</td><td class="n">%d</td>\s*<td class="n"><data value="%s">(?s:.{0,400}?)</td>\s*<td class="n">%d</td><td class="n">%d</td>`,
		page, views, sessions, engaged, entries, exits)
}

// TestVisits: what pages report is on /stats, exactly, and stays there when the program ends
// in order or is killed at once.
func TestVisits(t *testing.T) {
	data := t.TempDir()
	p := start(t, "-data", data)
	began := p.visit("one")
	p.eventually("/stats/part?session=one", visited...)
	body := p.eventually("/stats?days=7", row("/green", 1, 1, "8", 1, 0), row("/black", 1, 1, "15", 0, 1))
	if strings.Contains(body, `id="engaged"`) {
		t.Error("/stats shows a visit to somebody it does not know")
	}
	p.eventually("/stats/part?session=", "Nothing of it has arrived")
	p.eventually("/stats/part?session=other", "Nothing of it has arrived")
	if began.Day() == time.Now().Add(time.Minute).Day() {
		p.eventually("/stats", `<dt>Sessions</dt><dd><data value="1">(?s:.*)Engaged, median</dt><dd><data value="23">(?s:.*)Elapsed, mean</dt><dd><data value="40">`)
	}
	p.end()

	p = start(t, "-data", data)
	p.eventually("/stats/part?session=one", visited[:3]...)
	// The database does not take it, and what was answered 204 is kept all the same.
	unlock := lock(t, filepath.Join(data, "beacon.db"))
	same := p.visit("two").Day() == began.Day()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	unlock()
	p = start(t, "-data", data)
	p.eventually("/stats/part?session=two", visited[:3]...)
	if same {
		p.eventually("/stats?days=7", `<td class="n">2</td><td class="n">4</td>`) // sessions and views of the day
	}
	p.end()
}

// TestAgain: who was here before sees the visit that is going on, and its pages alone.
func TestAgain(t *testing.T) {
	p := start(t, "-data", t.TempDir())
	now := time.Now()
	p.report("again", now.Add(-3*time.Hour), 1, view{p.url + "/green", 0, 10, 10, 7})
	p.report("again", now.Add(-time.Minute), 1, view{p.url + "/black", 0, 20, 20, 9})
	body := p.eventually("/stats/part?session=again", `id="engaged" value="9">`, `id="views" value="1">`)
	mine, _, _ := strings.Cut(body, `id="today"`)
	if !strings.Contains(mine, "<bdi>/black</bdi>") || strings.Contains(mine, "<bdi>/green</bdi>") {
		t.Errorf("the pages of the visit are\n%s", mine)
	}
}

// lock begins to write to a database, which nobody else can until unlock.
func lock(t *testing.T, file string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestHostilePages: a page is the word of whoever sent it.
func TestHostilePages(t *testing.T) {
	p := start(t, "-data", t.TempDir())
	begin := time.Now().Add(-time.Minute)
	for i, page := range []string{
		`https://x.example/"><script>alert(1)</script>`, "javascript:alert(2)", "a\u202eb\u0000c\u2066d", strings.Repeat("long", 500),
	} {
		for j := range 2 { // the most viewed are shown
			p.report(fmt.Sprint("hostile", i, j), begin, 1, view{page, 0, 10, 10, 10})
		}
	}
	for i := range 2 * mostPages {
		p.report("many", begin, 1, view{fmt.Sprint("/one-of-many/", i), 0, 1, 1, 1})
	}
	body := p.eventually("/stats?days=7", `/one-of-many/`, `<bdi>a`, `<bdi>javascript`, `longlong…<`, fmt.Sprintf(`(?s)(?:<th scope="row"><bdi>.*?){%d}`, mostPages))
	for _, bad := range []string{"<script>alert", "href=\"javascript", "\u202e", "\u2066", strings.Repeat("long", 30)} {
		if strings.Contains(body, bad) {
			t.Errorf("/stats has %.40q", bad)
		}
	}
	if n := strings.Count(body, "<tr><th scope=\"row\"><bdi>"); n != mostPages {
		t.Errorf("%d pages are listed, want %d", n, mostPages)
	}
	res, _ := p.get("/stats")
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	p.end()
}

// TestQueryOnly: what /stats is asked stands in the address. It answers before a body is
// there, which it would have to read, or to keep in a file.
func TestQueryOnly(t *testing.T) {
	p := start(t, "-data", t.TempDir())
	for _, path := range []string{"/stats?days=7", "/stats/part?session=one"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a.example\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000000\r\n\r\n--b\r\n", path)
		if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 200 ") {
			t.Errorf("%s: %q, %v", path, line, err)
		}
	}
}

// TestLive: what is happening now is behind a login, and somebody who looks does not keep
// the program from ending.
func TestLive(t *testing.T) {
	p := start(t, "-data", t.TempDir(), "-password", "open sesame")
	ask := func(path, user, password string) *http.Response {
		r, err := http.NewRequest("GET", p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, password)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	if res, _ := p.get("/live/"); res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("/live/ without a password: %s", res.Status)
	}
	for _, wrong := range [][2]string{{"admin", ""}, {"admin", "open"}, {"", "open sesame"}, {"admin:open", " sesame"}} {
		if res := ask("/live/", wrong[0], wrong[1]); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("/live/ for %q: %s", wrong, res.Status)
		}
	}
	if res := ask("/live/", user, "open sesame"); res.StatusCode != http.StatusOK {
		t.Errorf("/live/: %s", res.Status)
	}
	stream := ask("/live/stream", user, "open sesame")
	if stream.StatusCode != http.StatusOK || stream.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream of /live/: %s, %s", stream.Status, stream.Header.Get("Content-Type"))
	}
	p.visit("seen-live")
	events := bufio.NewScanner(stream.Body)
	events.Buffer(nil, 1<<20)
	for found := false; !found; {
		if !events.Scan() {
			t.Fatalf("the stream ends without the visit: %v", events.Err())
		}
		found = strings.Contains(events.Text(), "seen-live")
	}
	p.end()
}

// TestOnePerDirectory: two programs do not write into one spool.
func TestOnePerDirectory(t *testing.T) {
	data := t.TempDir()
	p := start(t, "-data", data)
	second := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-data", data)
	second.Env = append(os.Environ(), "BEACON_ANALYTICS=1")
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "-data") {
		t.Errorf("a second one: %v\n%s", err, out)
	}
	p.end()
}
