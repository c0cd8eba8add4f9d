package main

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// holdPort binds a socket to the address and never listens on it. It keeps the
// port ours while the listener is stopped: connections are refused, and no
// other program gets the port. Listening on it along with this socket works,
// because both have SO_REUSEADDR.
func holdPort(address string) (string, error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", err
	}
	family := syscall.AF_INET6
	var name syscall.Sockaddr
	if ip := tcp.IP.To4(); ip != nil {
		family = syscall.AF_INET
		name = &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip)}
	} else {
		sa := &syscall.SockaddrInet6{Port: tcp.Port}
		copy(sa.Addr[:], tcp.IP)
		name = sa
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, name); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	port := 0
	switch sa := bound.(type) {
	case *syscall.SockaddrInet4:
		port = sa.Port
	case *syscall.SockaddrInet6:
		port = sa.Port
	}
	host, _, err := net.SplitHostPort(address)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}
