package spool

import (
	"os"
	"syscall"
)

// volatileVolumes are file systems that do not keep what a spool promises, or where that
// is up to others, by the number that statfs gives them.
var volatileVolumes = map[uint32]string{
	0x01021994: "tmpfs",
	0x858458f6: "ramfs",
	0x794c7630: "overlayfs",
	0x00006969: "NFS",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB",
	0x65735546: "FUSE",
	0x01021997: "9P",
	0x00c36400: "Ceph",
}

// volatileVolume returns the name of the file system if it is one of those.
func volatileVolume(dir *os.File) string {
	st, err := statfs(dir)
	if err != nil {
		return ""
	}
	return volatileVolumes[uint32(st.Type)]
}

func freeSpace(dir *os.File) int64 {
	st, err := statfs(dir)
	if err != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// statfs may be called while dir is closed.
func statfs(dir *os.File) (st syscall.Statfs_t, err error) {
	conn, err := dir.SyscallConn()
	if err == nil {
		cerr := conn.Control(func(fd uintptr) { err = syscall.Fstatfs(int(fd), &st) })
		if cerr != nil {
			err = cerr
		}
	}
	return st, err
}
