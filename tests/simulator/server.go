package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// connection is one accepted client connection. The front uses it to reach the socket, to reset it or to drop it without
// close_notify.
type connection struct {
	*net.TCPConn
	id     int64
	server *server
	idle   atomic.Bool
	once   sync.Once

	wire    *wireFault // as of when it was accepted
	written int        // with a wire fault
}

func (c *connection) Close() error {
	c.once.Do(func() { c.server.forget(c) })
	return c.TCPConn.Close()
}

// reset closes the connection with a TCP RST.
func (c *connection) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// server accepts the clients' connections. It can stop listening and start
// again on the same port while the open connections live on.
type server struct {
	address string
	others  []string    // further addresses, which lead to the same server
	config  *tls.Config // nil: plain HTTP
	http    *http.Server
	stats   *stats

	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*connection]struct{}
	limit     int
	wire      *wireFault // nil: none
	nextID    int64
}

type connectionKey struct{}

func newServer(address string, config *tls.Config, handler http.Handler, st *stats, verbose bool) *server {
	s := &server{address: address, config: config, stats: st, conns: make(map[*connection]struct{})}
	// Tests make handshakes fail on purpose, so the failures are not reported.
	errorLog := log.New(io.Discard, "", 0)
	if verbose {
		errorLog = log.Default()
	}
	s.http = &http.Server{
		Handler:  handler,
		ErrorLog: errorLog,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, socket(c))
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if conn := socket(c); conn != nil {
				conn.idle.Store(state == http.StateIdle)
			}
		},
		// One request at a time on a connection: HTTP/1.1 only.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	return s
}

func socket(c net.Conn) *connection {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	conn, _ := c.(*connection)
	return conn
}

func connectionOf(ctx context.Context) *connection {
	conn, _ := ctx.Value(connectionKey{}).(*connection)
	return conn
}

// start listens; it does nothing if the server listens already.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners != nil {
		return nil
	}
	for _, address := range append([]string{s.address}, s.others...) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
		var accept net.Listener = &counted{Listener: l, server: s}
		if s.config != nil {
			accept = tls.NewListener(accept, s.config)
		}
		go func() { _ = s.http.Serve(accept) }()
	}
	return nil
}

// stop refuses new connections. The open ones live on.
func (s *server) stop() {
	s.mu.Lock()
	all := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	for _, l := range all {
		_ = l.Close()
	}
}

// closeAll closes the open connections, or only those that wait for a request.
func (s *server) closeAll(onlyIdle, reset bool) int {
	n := 0
	for _, c := range s.open() {
		if onlyIdle && !c.idle.Load() {
			continue
		}
		n++
		if reset {
			c.reset()
		} else {
			_ = c.Close()
		}
	}
	return n
}

func (s *server) open() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*connection, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

func (s *server) openCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *server) setLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = n
}

func (s *server) forget(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// counted is the listener that counts the connections.
type counted struct {
	net.Listener
	server *server
}

func (l *counted) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := raw.(*net.TCPConn)
		if !ok {
			return nil, errors.New("not a TCP connection")
		}
		s := l.server
		s.stats.accepted.Add(1)
		s.mu.Lock()
		full := s.limit > 0 && len(s.conns) >= s.limit
		var c *connection
		if !full {
			s.nextID++
			c = &connection{TCPConn: tcp, id: s.nextID, server: s, wire: s.wire}
			s.conns[c] = struct{}{}
		}
		s.mu.Unlock()
		if full {
			_ = tcp.Close() // as the proxy in front of a real server does
			continue
		}
		if c.wire != nil && c.wire.AtAccept {
			go c.fail()
			continue
		}
		return c, nil
	}
}
