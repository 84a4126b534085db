package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
)

// TestReleasedFormat: what a released version has left in a directory is read by every later
// one. These files stay as they are; a new format gets new ones beside them.
func TestReleasedFormat(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	var read []string
	for r, err := range Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, string(r.State)+" "+r.Event.ID)
	}
	if want := []string{"dead dead", "delivered a", "pending b"}; !slices.Equal(read, want) {
		t.Errorf("%q instead of %q", read, want)
	}
	var came []beacon.Event
	s := mustOpen(t, dir, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		came = append(came, events...)
		return nil
	}))
	if err := errors.Join(s.Flush(t.Context()), s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	// One sink at a time is called, and none after Close.
	if len(came) != 1 || came[0].ID != "b" || came[0].Name != "log" || came[0].Body != beacon.Body(beacon.Text("hello")) {
		t.Errorf("%+v", came)
	}
}

// TestLaterFormat: a program that went back to one before the format of segments changed
// says so, and leaves the directory to the later one.
func TestLaterFormat(t *testing.T) {
	segment := segmentOf(t, 1, `{"v":1,"id":"a"}`)
	binary.LittleEndian.PutUint32(segment[8:], version+1)
	binary.LittleEndian.PutUint32(segment[28:], crc32.Checksum(segment[:28], castagnoli))
	dir := writeDir(t, map[string][]byte{segmentName(1, dataSuffix): segment})
	s, err := Open(dir, refuse("must not be asked"), Options{})
	if err == nil {
		s.Close(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "unknown format version 2") {
		t.Errorf("%v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, segmentName(1, dataSuffix))); err != nil || !bytes.Equal(after, segment) {
		t.Errorf("the segment is not what it was: %v", err)
	}
}
