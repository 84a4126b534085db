package cloudevents

import (
	"net/url"
	"strings"
	"testing"
)

// The short way gives what the long one does.
func FuzzSource(f *testing.F) {
	f.Add("https://example.org", "example.org", "/beacon")
	f.Add("https://example.org", "", "beacon")
	f.Add("http://127.0.0.1", "", "")
	f.Add("http://localhost:8080", "localhost:8080", "//x")
	f.Add("null", "example.org", "/a b")
	f.Add("https://", "h", "/%zz")
	f.Add("", "", "")
	f.Add("https://a/b", "", "/..")
	f.Fuzz(func(t *testing.T, origin, host, path string) {
		got := Source(origin, host, path)
		u := url.URL{Path: "/" + strings.TrimPrefix(path, "/"), Host: host}
		if o, err := url.Parse(origin); err == nil && o.Host != "" {
			u.Scheme, u.Host = o.Scheme, o.Host
		}
		if want := u.String(); got != want {
			t.Errorf("Source(%q, %q, %q) = %q, want %q", origin, host, path, got, want)
		}
		if got == "" {
			t.Error("empty")
		}
		if _, err := url.Parse(got); err != nil && plainOrigin(origin) {
			t.Error(err)
		}
	})
}
