package beacon_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestLaterClient: what a later client of the same version of the envelope says besides is
// left out, and costs nothing that is known. (One of another version is a page's JSON to
// this program, and is kept: TestNotAnEnvelope.)
func TestLaterClient(t *testing.T) {
	now := strings.NewReplacer("NOW", strconv.FormatInt(time.Now().Add(-time.Minute).UnixMilli(), 10))
	known := receiveText(t, now.Replace(`{"v":1,"m":"append","k":"l","sid":"s","pv":"p","via":"later","page":"https://example.com/","ev":[{"n":3,"t":NOW,"e":"log","d":{"msg":"a"}}]}`))
	later := receiveText(t, now.Replace(`{"v":1,"m":"append","new":{"k":"x"},"k":"l","sid":"s","pv":"p","via":"later","page":"https://example.com/","ev":[{"n":3,"t":NOW,"x":[1],"e":"log","d":{"msg":"a"}}],"more":null}`))
	if len(known) != 1 || known[0].ID != "p:l:3" {
		t.Fatalf("%+v", known)
	}
	known[0].Received, known[0].Request.ID = later[0].Received, later[0].Request.ID
	if diff := cmp.Diff(known, later, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}
