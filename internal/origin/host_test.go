package origin

import (
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		pattern          string
		allowed, refused string // separated by spaces
	}{
		{"example.com", "example.com EXAMPLE.com example.com. example.com:80 example.com:8443 example.com.:80",
			"www.example.com evilexample.com example.com.evil.test example.com.. evil.test:example.com example.com@evil.test"},
		{"Example.COM:8443", "example.com:8443 example.com.:8443", "example.com example.com:443 example.com:84430"},
		{"example.com:443", "example.com:443 example.com", "example.com:80"},
		{"*.example.com", "a.example.com a.b.EXAMPLE.com:1 a.example.com.", "example.com .example.com evilexample.com a..example.com evil.test/.example.com"},
		{"*.example.com:80", "a.example.com a.example.com:80", "a.example.com:8080"},
		{"localhost", "localhost localhost:8080 LOCALHOST.", "localhost.evil.test"},
		{"127.0.0.1", "127.0.0.1 127.0.0.1:8080", "127.0.0.1.evil.test 127.0.0.2 127.1"},
		{"[::1]", "[::1] [::1]:8080 [0:0:0:0:0:0:0:1] [0:0::1]:1", "::1 [::2] [::1%25eth0] [::1].evil.test []"},
		{"[2001:DB8::1]:8080", "[2001:db8::1]:8080 [2001:DB8:0::1]:8080", "[2001:db8::1]"},
		{"[::ffff:7f00:1]", "[::ffff:7f00:1]", "127.0.0.1"},
	} {
		h, err := ParseHosts([]string{"other.test", tt.pattern})
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for header := range strings.FieldsSeq(tt.allowed) {
			if !h.Allow(header) {
				t.Errorf("%s does not allow %s", tt.pattern, header)
			}
		}
		for _, header := range append(strings.Fields(tt.refused), "", ":", "[", "[:", "]", "*", tt.pattern+"x") {
			if h.Allow(header) {
				t.Errorf("%s allows %q", tt.pattern, header)
			}
		}
	}
	var none Hosts
	if !none.Allow("any.test") || !none.Allow("") {
		t.Error("no list allows not all")
	}
}

func TestHostMistakes(t *testing.T) {
	for _, pattern := range []string{
		"", "*", "https://example.com", "example.com/", "user@example.com", "example.com.", "bücher.example", "šexample.com", "a b.example", "*.com", "*.co.uk",
		"*.127.0.0.1", "www.*.example", "::1", "[::1", "[::1%eth0]", "[0:0::1]", "1.2.3", "example.com:", "example.com:0", "example.com:http", "-a.example",
	} {
		if _, err := ParseHosts([]string{"ok.test", pattern}); err == nil {
			t.Errorf("%q is a host", pattern)
		} else if strings.Contains(err.Error(), "ok.test") || !strings.Contains(err.Error(), `host "`) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
