//go:build !linux

package main

import "net"

// holdPort picks a free port. Only Linux can also keep it reserved.
func holdPort(address string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
