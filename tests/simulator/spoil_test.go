package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exchange sends one request on a new connection. It returns all that comes back, and how the connection ended. If it must
// end in a stall, nothing more may come for a while after the expected bytes.
func (b *bench) exchange(then string, expected int) (string, error) {
	b.Helper()
	conn, err := net.Dial("tcp", b.a.Host)
	if err != nil {
		return "", err // a reset can be that early
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET /sdk/vimServiceVersions.xml HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	first := make([]byte, expected)
	if n, err := io.ReadFull(conn, first); err != nil && expected > 0 {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		return string(first[:n]), err
	}
	if then == "stall" {
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	}
	more, err := io.ReadAll(conn)
	return string(first) + string(more), err
}

// wantEnd checks how a connection ended.
func (b *bench) wantEnd(err error, then string) {
	b.Helper()
	var late net.Error
	seen := "close"
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		seen = "reset"
	case errors.As(err, &late) && late.Timeout():
		seen = "stall"
	case err != nil:
		seen = err.Error()
	}
	b.want("the end", seen, then)
}

func TestRepliesStopAtAByte(t *testing.T) {
	b := launch(t, "-tls=false")
	for _, chunked := range []string{"", `,"chunked":true`} {
		b.rule(`{"method":"GET","stop":{"byte":1000000,"then":"close"}` + chunked + `}`)
		whole, err := b.exchange("close", 0)
		b.wantEnd(err, "close")
		var rules []rule
		b.control("GET", "/rules", "", &rules)
		b.want("the length", rules[0].Length, len(whole))
		b.want("the head", rules[0].Head, strings.Index(whole, "\r\n\r\n")+4)
		if !strings.HasPrefix(whole, "HTTP/1.1 200 OK\r\n") || !strings.Contains(whole, "urn:vim25") {
			t.Fatal(whole)
		}
		for _, then := range []string{"reset", "close", "stall"} {
			for at, length := range map[int]int{0: 0, 1: 1, 40: 40, -1: len(whole) - 1} {
				b.control("DELETE", "/rules", "", nil)
				b.rule(`{"method":"GET","stop":{"byte":` + itoa(at) + `,"then":"` + then + `"}` + chunked + `}`)
				got, err := b.exchange(then, length)
				b.wantEnd(err, then)
				// Without the dates: time passes between the two.
				b.want("the answer", normalized(got), normalized(whole[:length]))
			}
		}
		b.control("DELETE", "/rules", "", nil)
	}
}

func TestWrongLengthAndRawBytes(t *testing.T) {
	b := launch(t, "-tls=false")
	b.rule(`{"method":"GET","status":200,"body":"0123456789","length_off":-3,"times":1}`)
	b.rule(`{"method":"GET","raw":"no HTTP\n"}`)
	got, err := b.exchange("close", 0)
	b.wantEnd(err, "close")
	if !strings.Contains(got, "Content-Length: 7\r\n") || !strings.HasSuffix(got, "\r\n\r\n0123456789") {
		t.Error(got)
	}
	got, err = b.exchange("close", 0)
	b.wantEnd(err, "close")
	b.want("the bytes", got, "no HTTP\n")
	b.want("the calls", b.stats().Calls["GET /sdk/vimServiceVersions.xml"], int64(2))
}

func TestBytesAreInsertedBeforeTheLastTag(t *testing.T) {
	for _, like := range []string{"plain", "9.0.1"} {
		b := launch(t, "-tls=false", "-like="+like)
		b.rule(`{"method":"GET","insert":"Af8="}`)
		res, err := http.Get("http://" + b.a.Host + "/sdk/vimServiceVersions.xml")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !bytes.HasSuffix(bytes.TrimSpace(body), []byte("\x01\xff</namespaces>")) {
			t.Error(like, err, string(body))
		}
	}
}

func TestConnectionsFailBelowHTTP(t *testing.T) {
	b := launch(t, "-tls=false")
	for _, then := range []string{"reset", "close", "stall"} {
		for body, want := range map[string]string{
			`{"at_accept":true,"then":"` + then + `"}`:                "",
			`{"byte":0,"then":"` + then + `"}`:                        "",
			`{"byte":5,"then":"` + then + `"}`:                        "HTTP/",
			`{"byte":5,"say":"` + "YWJj" + `","then":"` + then + `"}`: "HTTP/abc",
		} {
			b.control("POST", "/wire", body, nil)
			got, err := b.exchange(then, len(want))
			if errors.Is(err, syscall.EPIPE) {
				err = syscall.ECONNRESET // the request met it already
			}
			if then == "close" && errors.Is(err, syscall.ECONNRESET) && strings.Contains(body, "at_accept") {
				err = nil // so does a close with a request unread
			}
			b.wantEnd(err, then)
			b.want(body, got, want)
		}
	}
	b.control("POST", "/wire", "{}", nil)
	const good = "HTTP/1.1 200 OK"
	if got, _ := b.exchange("stall", len(good)); !strings.HasPrefix(got, good) {
		t.Error(got)
	}
	b.want("the answer to a bad one", b.tryControl("POST", "/wire", `{"then":"explode"}`, new(json.RawMessage)), 400)
}
