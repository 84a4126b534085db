package load

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the loop go past the scheduler of Go, which would look for
// other work in each, and take the thread's processor away in those that wait: more than
// a third of what a request costs. There is no other work, and those for the
// connections do not wait. One that waits ends with EINTR when the runtime wants its
// processor back.

// raw reads or writes.
func raw(call uintptr, fd int, b []byte) (int, error) {
	n, _, err := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if err != 0 {
		return -1, err
	}
	return int(n), nil
}

// rawWait waits for a second at most.
func rawWait(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, err := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 1000, 0, 0)
	if err != 0 {
		return -1, err
	}
	return int(n), nil
}
