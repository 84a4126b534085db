package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"
)

// A volume is a disk of a machine, which the power can be cut of: ext4 in a file.
type volume struct {
	image, root string
	cutting     *os.File // open as long as it is mounted
}

// newVolume makes one below dir and mounts it. dir has to be on a disk.
func newVolume(dir, name string, megabytes int64) (*volume, error) {
	v := &volume{image: filepath.Join(dir, name+".image"), root: filepath.Join(dir, name)}
	f, err := os.Create(v.image)
	if err != nil {
		return nil, err
	}
	err = errors.Join(f.Truncate(megabytes<<20), f.Close(), os.Mkdir(v.root, 0o700))
	if err != nil {
		return nil, err
	}
	if err := run("mkfs.ext4", "-q", "-F", v.image); err != nil {
		return nil, err
	}
	return v, v.mount()
}

func (v *volume) mount() (err error) {
	if err := run("mount", "-o", "loop", v.image, v.root); err != nil {
		return err
	}
	v.cutting, err = os.Open(v.root)
	return err
}

// cut takes the power away: what the file system has not written by now, and its journal
// neither, is not there after the next mount.
func (v *volume) cut() error {
	const (
		shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noFlush  = uint32(2)  // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	how := noFlush
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, v.cutting.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		return fmt.Errorf("cutting the power: %w", errno)
	}
	return nil
}

// restored mounts it again as it is after a cut. Nobody may have a file of it open.
func (v *volume) restored() error {
	return errors.Join(v.unmount(), v.mount())
}

// unmount waits for the kernel to let go of the files of a process that was killed.
func (v *volume) unmount() (err error) {
	if v.cutting == nil {
		return nil
	}
	v.cutting.Close()
	v.cutting = nil
	for range 200 {
		if err = run("umount", v.root); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(err, run("umount", "-l", v.root))
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}
