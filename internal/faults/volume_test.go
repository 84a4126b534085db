package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A volume is a file system of its own, in a file.
type volume struct {
	t          *testing.T
	image, dir string
	options    string // of mount
	mounted    bool
}

// newVolume makes a volume with ext4 and mounts it.
func newVolume(t *testing.T, megabytes int64) *volume {
	t.Helper()
	return newVolumeOf(t, "ext4", megabytes)
}

// newVolumeOf makes a volume with the file system ext4 or xfs, and mounts it. The one
// with ext4 becomes read-only when something is wrong with it.
func newVolumeOf(t *testing.T, system string, megabytes int64) *volume {
	t.Helper()
	mkfs := map[string][]string{"ext4": {"mkfs.ext4", "-q", "-F", "-e", "remount-ro"}, "xfs": {"mkfs.xfs", "-q", "-f"}}[system]
	need(t, mkfs[0], "mount", "umount")
	tmp := realDisk(t)
	v := &volume{t: t, image: filepath.Join(tmp, "image"), dir: filepath.Join(tmp, "mnt"), options: "loop"}
	f, err := os.Create(v.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(megabytes << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	v.run(mkfs[0], append(mkfs[1:], v.image)...)
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	v.mount()
	t.Cleanup(func() {
		if v.mounted {
			v.unmount()
		}
	})
	return v
}

func (v *volume) run(name string, args ...string) {
	v.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		v.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func (v *volume) mount() {
	v.t.Helper()
	v.run("mount", "-o", v.options, v.image, v.dir)
	v.mounted = true
}

// unmount unmounts it; the kernel may hold on to a killed program's files for a
// moment.
func (v *volume) unmount() {
	v.t.Helper()
	var out []byte
	var err error
	for range 100 {
		if out, err = exec.Command("umount", v.dir).CombinedOutput(); err == nil {
			v.mounted = false
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	v.t.Errorf("umount %s: %v\n%s", v.dir, err, out)
	exec.Command("umount", "-l", v.dir).Run()
}

// cut takes the power away: whatever the file system has not written and flushed
// by now will not be there after the next mount, and neither will its journal's
// unwritten part (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, which has the
// same number in XFS).
func (v *volume) cut(root *os.File) error {
	how := uint32(2)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, root.Fd(), 0x8004587d, uintptr(unsafe.Pointer(&how)))
	if errno != 0 {
		return fmt.Errorf("EXT4_IOC_SHUTDOWN: %w", errno)
	}
	return nil
}

// free returns how many bytes are left.
func (v *volume) free() int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(v.dir, &st); err != nil {
		v.t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}
