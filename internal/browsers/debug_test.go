package browsers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDebug opens pages that cannot report, with data-debug, and reads what the console
// says.
func TestDebug(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		_, h := newSink(t)
		srv := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/page" {
				http.NotFound(w, r)
				return
			}
			q := r.URL.Query()
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if p := q.Get("policy"); p != "" {
				w.Header().Set("Content-Security-Policy", p)
			}
			// The module of the debug mode is beside the script, wherever the endpoint is.
			fmt.Fprintf(w, `<!doctype html><script>
				globalThis.lines = [];
				for (const kind of ["info", "warn"]) console[kind] = (...args) => lines.push(kind + " " + args.join(" "));
				</script><script src="/_pb.js" data-debug="/_pb.debug.mjs" %s></script>`, q.Get("attributes"))
		})))
		t.Cleanup(srv.Close)
		for _, tt := range []struct{ query, want, not string }{
			{"", "info beacon: session ", "warn"},
			{"", "info beacon: request by ", "warn"},
			{"attributes=data-endpoint=/elsewhere", "warn beacon [path]: ", ""},
			{"attributes=data-consent=required", "warn beacon [pending]: ", "request by"},
			{"attributes=data-consent=Required", "warn beacon [option]: ", "request by"},
			{"attributes=data-colour=red", "warn beacon [option]: ", ""},
			{"policy=connect-src+'none'", "warn beacon [csp]: ", "request by"},
		} {
			p := b.Open(srv.URL + "/page?" + tt.query)
			p.WaitFor(ready)
			p.Eval(`beacon.log("hello"); beacon.flush(); const end = Date.now() + 8000;
				while (Date.now() < end && !lines.some(l => l.startsWith(`+quote(tt.want)+`))) await new Promise(done => setTimeout(done, 50))`, nil)
			var lines []string
			p.Eval(`return lines`, &lines)
			all := strings.Join(lines, "\n")
			if !strings.Contains("\n"+all, "\n"+tt.want) {
				t.Errorf("%s: no line %q in\n%s", tt.query, tt.want, all)
			}
			if tt.not != "" && strings.Contains(all, tt.not) {
				t.Errorf("%s: %q in\n%s", tt.query, tt.not, all)
			}
			p.Close()
		}
	})
}
