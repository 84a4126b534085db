package origin

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	label63 = strings.Repeat("a", 63)
	host253 = label63 + "." + label63 + "." + label63 + "." + label63[:61]
	host251 = host253[2:]
)

// accepted has the canonical form of patterns.
var accepted = map[string]string{
	"https://example.com":                    "https://example.com",
	"https://example.com:8443":               "https://example.com:8443",
	"https://example.com:443":                "https://example.com",
	"http://example.com:80":                  "http://example.com",
	"http://example.com:443":                 "http://example.com:443",
	"https://example.com:80":                 "https://example.com:80",
	"https://example.com:65535":              "https://example.com:65535",
	"HTTPS://Example.COM:443":                "https://example.com",
	"http://localhost:3000":                  "http://localhost:3000",
	"http://intranet":                        "http://intranet",
	"http://127.0.0.1:8080":                  "http://127.0.0.1:8080",
	"http://[::1]:8080":                      "http://[::1]:8080",
	"http://[::1]:80":                        "http://[::1]",
	"http://[2001:DB8::1]":                   "http://[2001:db8::1]",
	"http://[::ffff:7f00:1]":                 "http://[::ffff:7f00:1]",
	"http://[::ffff:0:0]":                    "http://[::ffff:0:0]",
	"http://[1:0:0:2::]":                     "http://[1:0:0:2::]",
	"https://xn--bcher-kva.example":          "https://xn--bcher-kva.example",
	"https://my_app.example.com":             "https://my_app.example.com",
	"https://a--b.example.com":               "https://a--b.example.com",
	"https://1.2.3.example":                  "https://1.2.3.example",
	"https://example.0xyz":                   "https://example.0xyz",
	"https://" + host253:                     "https://" + host253,
	"https://github.io":                      "https://github.io", // not a wildcard
	"https://*.example.com":                  "https://*.example.com",
	"HTTPS://*.EXAMPLE.com:443":              "https://*.example.com",
	"https://*.example.com:8443":             "https://*.example.com:8443",
	"http://*.corp.internal":                 "http://*.corp.internal",
	"https://*.staging.example.com":          "https://*.staging.example.com",
	"https://*.example.co.uk":                "https://*.example.co.uk",
	"https://*.pagebeacon.github.io":         "https://*.pagebeacon.github.io",
	"https://*.go.de":                        "https://*.go.de", // a registry's second level elsewhere
	"https://*.co.example":                   "https://*.co.example",
	"https://*.evilgithub.io":                "https://*.evilgithub.io",
	"https://*.env.eu.azurecontainerapps.io": "https://*.env.eu.azurecontainerapps.io",
	"http://*.localhost:3000":                "http://*.localhost:3000",
	"https://*." + host251:                   "https://*." + host251,
}

// refused has patterns by what the error says of them.
var refused = map[string][]string{
	`"*" is not a pattern: set AnyOrigin`: {"*"},
	"every sandboxed page":                {"null"},
	"not of the form": {
		"", "example.com", "example.com:8443", "//example.com", "https:example.com", "https:/example.com", "*.example.com", "NULL", "mailto:a@example.com",
	},
	"neither http nor https": {
		"file://x", "file:///", "chrome-extension://abcdefghijklmnop", "capacitor://localhost", "ws://example.com", "ftp://example.com",
		"://example.com", "*://example.com", "http*://example.com", " https://example.com", "https ://example.com", "data:text/html,://",
	},
	"no path": {
		"https://example.com/", "https://example.com/b", "https://a.example/b?c#d", "https://example.com\\", "https://evil.com/.example.com", "https:///",
		"https://*.example.com/", "https://*/",
	},
	"no query":    {"https://example.com?", "https://example.com?a=b", "https://?", "https://example.com:443?"},
	"no fragment": {"https://example.com#", "https://example.com#a", "https://example.com:443#"},
	"no user":     {"https://me@example.com", "https://me:pw@example.com", "https://@example.com"},
	"the host is missing": {
		"https://", "http://", "https://:8443", "https://*.", "https://*.:8443",
	},
	"the port is not a number": {
		"https://example.com:", "https://example.com:0", "https://example.com:0443", "https://example.com:00", "https://example.com:65536",
		"https://example.com:99999", "https://example.com:99999999999999999999", "https://example.com:x", "https://example.com:+80",
		"https://example.com:-1", "https://example.com: 80", "https://example.com:8_0", "https://example.com:0x50", "http://[::1]:", "http://127.0.0.1:",
		"https://*.example.com:", "https://localhost:80a",
	},
	"trailing dot": {"https://example.com.", "https://example.com.:8443", "https://*.example.com.", "https://.", "https://*..", "http://127.0.0.1."},
	"empty label":  {"https://.example.com", "https://example..com", "https://*..example.com", "https://..example.com"},
	"63 bytes":     {"https://a" + label63 + ".example.com"},
	"253 bytes":    {"https://a" + host253},
	"short enough": {"https://*.a" + host251, "https://*." + host253},
	"hyphen":       {"https://-example.com", "https://example-.com", "https://example.-com", "https://example.com-", "https://*.-a.example", "https://-"},
	"a host has no": {
		"https://exa mple.com", "https://example.com ", "https://example.com\n", "https://example.com\x00", "https://exa\tmple.com",
		"https://example.com,", "https://ex%41mple.com", "https://a!b.example", "https://a~b.example", "https://a'b.example",
		"https://a;b.example", "https://a|b.example", "https://a^b.example", "https://{a}.example", "https://a:b:80", "https://::1", "https://a[b].example", "https://1.2.3.4]",
	},
	"not ASCII": {"https://bücher.example", "https://*.bücher.example", "https://example。com", "https://\xff.example", "https://example.\u212A", "ʰttps://example.com"},
	"has four numbers up to 255": {
		"https://1.2.3", "https://256.1.1.1", "https://1.2.3.4.5", "https://127.1", "https://2130706433", "https://0177.0.0.1", "https://127.0.0.01",
		"https://0x7f.0.0.1", "https://0x7f000001", "https://example.0x1F", "https://example.0x", "https://example.com.5", "https://09", "https://*.1.2.3",
	},
	"not an IPv6 address": {
		"https://[]", "https://[", "https://[::1", "https://[::1]x", "https://[::1]]", "https://[::1]8080", "https://[:::1]", "https://[1.2.3.4]", "https://[example.com]", "https://[::g]",
		"https://[1:2:3:4:5:6:7:8:9]", "https://[[::1]]",
	},
	"browsers write [::1]":            {"https://[0:0:0:0:0:0:0:1]", "https://[::0001]", "https://[0::1]:8080"},
	"browsers write [1:0:0:2::]":      {"https://[1::2:0:0:0:0]"},
	"browsers write [::ffff:7f00:1]":  {"https://[::ffff:127.0.0.1]", "https://[::FFFF:127.0.0.1]"},
	"browsers write [::102:304]":      {"https://[::1.2.3.4]"},
	"an origin has no zone":           {"https://[fe80::1%eth0]", "https://[fe80::1%25eth0]:80"},
	"an IP address has no subdomains": {"https://*.127.0.0.1", "https://*.[::1]", "http://*.10.0.0.1:8080"},
	"a wildcard is only the whole first": {
		"https://*", "https://*:8443", "https://*example.com", "https://w*.example.com", "https://*w.example.com", "https://www.*.example.com", "https://*.*.example.com",
		"https://**.example.com", "https://example.*", "https://*.*", "https://example.com:*", "https://*.example.com:*", "https://[*]",
	},
	"is a public suffix: list the sites under it one by one": {
		"https://*.com", "https://*.COM:443", "https://*.app", "https://*.example", "http://*.corp", "https://*.xn--p1ai",
		"https://*.co.uk", "https://*.com.au", "https://*.gov.uk", "https://*.org.uk", "https://*.me.uk", "https://*.com.de", "https://*.co.com", "https://*.uk.com",
		"https://*.co.jp", "https://*.or.jp", "https://*.com.br", "https://*.gob.mx", "https://*.gouv.fr", "https://*.anything.bd",
		"https://*.github.io", "https://*.gitlab.io", "https://*.pages.dev", "https://*.workers.dev", "https://*.vercel.app", "https://*.netlify.app", "https://*.herokuapp.com",
		"https://*.web.app", "https://*.firebaseapp.com", "https://*.appspot.com", "https://*.uc.r.appspot.com", "https://*.run.app", "https://*.a.run.app",
		"https://*.azurewebsites.net", "https://*.westeurope-01.azurewebsites.net", "https://*.cloudfront.net", "https://*.amazonaws.com", "https://*.s3.amazonaws.com",
		"https://*.s3.eu-west-1.amazonaws.com", "https://*.execute-api.us-east-1.amazonaws.com:8443", "https://*.eu-west-1.elasticbeanstalk.com", "https://*.windows.net", "https://*.core.windows.net",
		"https://*.z6.web.core.windows.net", "https://*.azure.com", "https://*.eu.azurecontainerapps.io", "https://*.blogspot.com", "https://*.wordpress.com", "https://*.myshopify.com",
		"https://*.fly.dev", "https://*.onrender.com", "https://*.surge.sh", "https://*.glitch.me", "https://*.repl.co", "https://*.ngrok.io", "https://*.eu.ngrok.io",
		"https://*.ngrok-free.app", "https://*.trycloudflare.com", "https://*.github.dev",
	},
}

func TestParse(t *testing.T) {
	for pattern, want := range accepted {
		scheme, host, err := parse(pattern)
		if diff := cmp.Diff(want, scheme+host); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", pattern, err, diff)
		}
	}
	for why, patterns := range refused {
		for _, p := range patterns {
			if l, err := Parse([]string{p, "https://ok.example"}); err == nil {
				t.Errorf("accepts %q", p)
			} else if text := err.Error(); !strings.Contains(text, why) || !strings.HasPrefix(text, "origin \"") || strings.Contains(text, "\n") {
				t.Errorf("%q: %q does not say %q", p, text, why)
			} else if l.Allow("https://ok.example") {
				t.Error("a list with a mistake allows something")
			}
		}
	}
	_, err := Parse([]string{"https://example.com:", "https://ok.example", "example.com", "https://*.com"})
	want := `origin "https://example.com:": the port is not a number from 1 to 65535 without leading zeros
origin "example.com": not of the form "https://example.com"
origin "https://*.com": com is a public suffix: list the sites under it one by one`
	if err == nil || cmp.Diff(want, err.Error()) != "" {
		t.Errorf("the mistakes are %v, want\n%s", err, want)
	}
}

// TestSuffixes looks for slips in the table: what no wildcard could have anyway.
func TestSuffixes(t *testing.T) {
	seen := map[string]bool{}
	for s := range strings.FieldsSeq(suffixes) {
		name := strings.TrimPrefix(strings.TrimPrefix(s, "*"), ".")
		if err := checkDomain(name); err != nil || !strings.Contains(name, ".") && s[0] != '*' || seen[s] {
			t.Errorf("%s: %v, or twice", s, err)
		}
		seen[s] = true
		if !isPublicSuffix(name) || isPublicSuffix("a.b."+name) != (s[0] == '.') || isPublicSuffix("x"+name) && strings.Contains(name, ".") {
			t.Errorf("%s works otherwise", s)
		}
	}
}

func TestAllow(t *testing.T) {
	long := "https://" + strings.Repeat("a.", 1<<15) + "example.com"
	tests := []struct {
		pattern     string
		allows, not []string
	}{
		{"https://example.com", []string{"https://example.com"}, []string{
			"http://example.com", "https://example.com:443", "https://example.com:8443", "https://www.example.com", "https://example.com.",
			"https://example.com/", "HTTPS://example.com", "https://Example.com", "https://example.co", "example.com", "https://example.com https://example.com",
			"", "null", "https://", "://", "https", "file://", "\x00",
		}},
		{"https://example.com:443", []string{"https://example.com"}, []string{"https://example.com:443"}},
		{"HTTP://Example.COM:8080", []string{"http://example.com:8080"}, []string{"http://example.com", "HTTP://Example.COM:8080"}},
		{"http://[::1]:8080", []string{"http://[::1]:8080"}, []string{"http://[::1]", "http://::1:8080"}},
		{"http://my_app", []string{"http://my_app"}, []string{"http://my-app"}},
		{"https://*.example.com", []string{
			"https://www.example.com", "https://a.b.example.com", "https://my_app.example.com", "https://1.example.com", long,
			"https://xn--bcher-kva.example.com", "https://-.example.com", "https://a-.example.com", // which browsers do open
		}, []string{
			"https://example.com", "https://.example.com", "https://..example.com", "https://a..example.com", "https://a..b.example.com", "https://.a.example.com",
			"https://evilexample.com", "https://www.example.com.", "https://www.example.com.evil.com", "https://www.example.com:8443", "https://www.example.com:443",
			"https://evil.com/.example.com", "https://evil.com?.example.com", "https://evil.com#.example.com", `https://evil.com\.example.com`,
			"https://evil.com:80.example.com", "https://user@x.example.com", "https://[::1].example.com", "https://*.example.com", "https://a%2f.example.com",
			"https://a b.example.com", "https://a\x00.example.com", "https://é.example.com", "https://WWW.example.com", "https://www.EXAMPLE.com",
			"http://www.example.com", "https://https://www.example.com", "www.example.com", ".example.com", "https://", "null", "", long[:len(long)-1], strings.ToUpper(long),
		}},
		{"https://*.example.com:8443", []string{"https://www.example.com:8443"}, []string{"https://www.example.com", "https://www.example.com:443", "https://example.com:8443"}},
		{"http://*.localhost:3000", []string{"http://tenant.localhost:3000"}, []string{"http://localhost:3000", "http://tenant.localhost"}},
	}
	for _, tt := range tests {
		list, err := Parse([]string{"https://first.example", tt.pattern, "http://*.last.example"})
		if err != nil {
			t.Fatal(err)
		}
		for i, origins := range [][]string{tt.not, tt.allows} {
			for _, o := range origins {
				if got, want := list.Allow(o), i == 1; got != want {
					t.Errorf("%s on the list: allows %.80q: %v, want %v", tt.pattern, o, got, want)
				}
				if (&List{}).Allow(o) {
					t.Errorf("the zero list allows %.80q", o)
				}
				if n := testing.AllocsPerRun(10, func() { list.Allow(o) }); n != 0 {
					t.Errorf("%s on the list: %v allocations for %.80q", tt.pattern, n, o)
				}
			}
		}
	}
}

// FuzzParse compares with what net/url makes of a pattern and of an origin. The
// origin is tried as it is, and prefix in place of the wildcard.
func FuzzParse(f *testing.F) {
	for pattern, canonical := range accepted {
		f.Add(pattern, canonical, "www")
		f.Add(pattern, "https://evil.com/.example.com", "evil.com/")
	}
	for _, patterns := range refused {
		for _, p := range patterns {
			f.Add(p, strings.TrimSuffix(p, "."), "a..b")
		}
	}
	f.Fuzz(func(t *testing.T, pattern, origin, prefix string) {
		list, err := Parse([]string{pattern})
		if err != nil {
			return
		}
		p, err := url.Parse(strings.ToLower(pattern))
		if err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		host := p.Host
		if p.Port() == map[string]string{"http": "80", "https": "443"}[p.Scheme] {
			host = strings.TrimSuffix(host, ":"+p.Port())
		}
		base, wild := strings.CutPrefix(host, "*")
		canonical := p.Scheme + "://" + host
		if again, err := Parse([]string{canonical}); err != nil || cmp.Diff(list, again, cmp.AllowUnexported(List{}, wildcard{})) != "" {
			t.Errorf("%q and its canonical form %q differ: %v", pattern, canonical, err)
		}
		if !wild {
			if !list.Allow(canonical) || list.Allow(origin) != (origin == canonical) {
				t.Errorf("%q allows itself: %v, and %q: %v", pattern, list.Allow(canonical), origin, list.Allow(origin))
			}
			return
		}
		if list.Allow(p.Scheme+"://"+base[1:]) || !list.Allow(p.Scheme+"://www"+base) {
			t.Errorf("%q allows its base, or no subdomain", pattern)
		}
		for _, o := range []string{origin, p.Scheme + "://" + prefix + base} {
			if !list.Allow(o) {
				continue
			}
			u, err := url.Parse(o)
			if err != nil {
				t.Fatalf("%q allows %q: %v", pattern, o, err)
			}
			want := url.URL{Scheme: p.Scheme, Host: strings.TrimSuffix(u.Host, base) + base}
			if diff := cmp.Diff(want, *u); diff != "" || len(u.Host) <= len(base) || !strings.HasSuffix(u.Hostname(), strings.TrimPrefix(p.Hostname(), "*")) {
				t.Errorf("%q allows %q: %s", pattern, o, diff)
			}
		}
	})
}
