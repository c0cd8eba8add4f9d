package main

import (
	"errors"
	"net"
)

// wireFault says what happens to new connections below TLS: in the handshake, or at any byte from the server.
type wireFault struct {
	AtAccept bool   `json:"at_accept"` // at once
	Byte     int    `json:"byte"`      // otherwise after this many bytes from the server
	Say      []byte `json:"say"`       // sent then (base64)
	Then     string `json:"then"`      // reset, close, or stall until the next POST /wire

	over chan struct{}
}

func (f *wireFault) check() error {
	if f.Then != "" && !isEnd(f.Then) {
		return errors.New(`then is "reset", "close" or "stall"`)
	}
	if f.Byte < 0 {
		return errors.New("byte is negative")
	}
	return nil
}

func isEnd(then string) bool { return then == "reset" || then == "close" || then == "stall" }

// setWire makes connections that are accepted from now on fail like this. Without an end in it they do not fail. Stalled
// connections end.
func (s *server) setWire(f *wireFault) {
	if f.Then == "" {
		f = nil
	} else {
		f.over = make(chan struct{})
	}
	s.mu.Lock()
	old := s.wire
	s.wire = f
	s.mu.Unlock()
	if old != nil {
		close(old.over)
	}
}

// Write sends what the fault lets through. The layer above writes from one
// goroutine at a time.
func (c *connection) Write(p []byte) (int, error) {
	if c.wire == nil {
		return c.TCPConn.Write(p)
	}
	if c.written+len(p) <= c.wire.Byte {
		n, err := c.TCPConn.Write(p)
		c.written += n
		return n, err
	}
	_, _ = c.TCPConn.Write(append(p[:c.wire.Byte-c.written:c.wire.Byte-c.written], c.wire.Say...))
	c.fail()
	return 0, net.ErrClosed
}

// fail ends the connection as its fault says.
func (c *connection) fail() {
	switch c.wire.Then {
	case "reset":
		c.reset()
	case "stall":
		<-c.wire.over
		_ = c.Close()
	default:
		_ = c.Close()
	}
}
