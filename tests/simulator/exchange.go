package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// exchange is a request and its reply on a connection that the front has taken
// over from net/http, because net/http cannot write the reply as the profile
// requires. Later requests on the connection are served here too.
type exchange struct {
	conn    net.Conn
	in      *bufio.Reader
	request *http.Request
	header  http.Header
	ready   <-chan bool // once the request's body was read: see watch
	closed  bool
}

// takeOver takes over the request's connection, unless that has already
// happened. The caller sends the reply and, if isNew is set, then calls serve.
func takeOver(w http.ResponseWriter, r *http.Request) (e *exchange, isNew bool, err error) {
	if e, ok := w.(*exchange); ok {
		return e, false, nil
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, false, err
	}
	return &exchange{conn: conn, in: buffered.Reader, request: r}, true, nil
}

// closes reports whether the request asks to close the connection after the reply.
func (e *exchange) closes() bool { return e.request.Close || !e.request.ProtoAtLeast(1, 1) }

func (e *exchange) Header() http.Header {
	if e.header == nil {
		e.header = make(http.Header)
	}
	return e.header
}

func (e *exchange) WriteHeader(int) {}

func (e *exchange) Write([]byte) (int, error) {
	return 0, errors.New("the front lays out replies on a connection that was taken over")
}

// Hijack serves spoil.
func (e *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	e.closed = true
	return e.conn, bufio.NewReadWriter(e.in, bufio.NewWriter(e.conn)), nil
}

// serve handles the following requests until the connection ends. They inherit
// address, TLS state and context from the first, which came through net/http.
func (e *exchange) serve(handler http.Handler) {
	defer e.conn.Close()
	if e.closes() {
		return
	}
	first, ready := e.request, e.watch()
	for {
		e.setIdle(true)
		if !<-ready {
			return
		}
		e.setIdle(false)
		request, err := http.ReadRequest(e.in)
		if err != nil {
			return
		}
		request.RemoteAddr, request.TLS = first.RemoteAddr, first.TLS
		next := &exchange{conn: e.conn, in: e.in}
		if !next.handle(handler, request.WithContext(first.Context())) {
			return
		}
		ready = next.ready
	}
}

// handle serves one request and reports whether the connection stays open.
func (e *exchange) handle(handler http.Handler, r *http.Request) (goesOn bool) {
	e.request = r
	body := &requestBody{ReadCloser: r.Body, ended: sync.OnceFunc(func() { e.ready = e.watch() })}
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		body.began = sync.OnceFunc(func() { _, _ = io.WriteString(e.conn, "HTTP/1.1 100 Continue\r\n\r\n") })
	}
	if r.Body == http.NoBody {
		body.ended()
	}
	e.request.Body = body
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			goesOn = false
		}
	}()
	handler.ServeHTTP(e, e.request)
	_, err := io.Copy(io.Discard, body)
	return err == nil && !e.closed
}

// watch reads ahead while nobody else reads, and reports whether a byte has
// arrived. The reader is still net/http's: if the connection ends, it cancels
// the context of the first request, which all requests share.
func (e *exchange) watch() <-chan bool {
	ready := make(chan bool, 1)
	go func() {
		_, err := e.in.Peek(1)
		ready <- err == nil
	}()
	return ready
}

func (e *exchange) setIdle(idle bool) {
	if c := socket(e.conn); c != nil {
		c.idle.Store(idle)
	}
}

// requestBody signals its first read and its end.
type requestBody struct {
	io.ReadCloser
	began, ended func()
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.began != nil {
		b.began()
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended()
	}
	return n, err
}

// streamedReply is the reply of a handler that writes it piece by piece.
type streamedReply struct {
	header http.Header
	begun  chan *http.Response
	once   sync.Once
	body   *io.PipeWriter
	reader *io.PipeReader
}

func (s *streamedReply) Header() http.Header { return s.header }

func (s *streamedReply) WriteHeader(status int) {
	s.once.Do(func() {
		response := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: s.header.Clone(), Body: s.reader}
		if length, err := strconv.ParseInt(s.header.Get("Content-Length"), 10, 64); err == nil {
			response.ContentLength = length
		} else {
			response.ContentLength, response.TransferEncoding = -1, []string{"chunked"}
		}
		s.begun <- response
	})
}

func (s *streamedReply) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return s.body.Write(p)
}

// stream has the handler answer the request piece by piece. Nothing of the reply
// is kept.
func (e *exchange) stream(handler http.Handler, r *http.Request) {
	reader, writer := io.Pipe()
	reply := &streamedReply{header: make(http.Header), begun: make(chan *http.Response, 1), body: writer, reader: reader}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		handler.ServeHTTP(reply, r)
		reply.WriteHeader(http.StatusOK)
		writer.Close()
	}()
	response := <-reply.begun
	response.Request = r
	err := response.Write(e.conn)
	reader.Close() // a handler that still writes learns that nobody reads
	<-ended
	e.closed = e.closed || err != nil
}

// send writes a reply: in one write, or with one write for each part or for each
// byte. It pauses between parts of data if a pause is given.
func (e *exchange) send(l layout, writes string, pause func()) error {
	if pause == nil && writes == chunksWhole {
		_, err := e.conn.Write(l.bytes())
		return err
	}
	pieces := [][]byte{l.head}
	for _, p := range l.parts {
		pieces = append(pieces, p.bytes())
	}
	for i, piece := range pieces {
		if pause != nil && i > 1 && len(l.parts[i-1].data) > 0 {
			pause()
		}
		size := len(piece)
		if writes == chunksBytes {
			size = 1
		}
		for ; len(piece) > 0; piece = piece[size:] {
			if _, err := e.conn.Write(piece[:size]); err != nil {
				return err
			}
		}
	}
	return nil
}
