package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// layout is a reply as it is sent. It bypasses net/http, which chooses the order,
// the spelling and the chunks itself.
type layout struct {
	head  []byte
	parts []part // the body in one part, or the chunks and their end
}

// part is a piece of the body with the framing around it.
type part struct{ before, data, after []byte }

func (p part) bytes() []byte { return slices.Concat(p.before, p.data, p.after) }

func (l layout) bytes() []byte {
	all := slices.Clone(l.head)
	for _, p := range l.parts {
		all = append(append(append(all, p.before...), p.data...), p.after...)
	}
	return all
}

// cut shortens the body to the given number of bytes and reports whether it was that short already.
func (l *layout) cut(most int64) (whole bool) {
	for i := range l.parts {
		p := &l.parts[i]
		if most < int64(len(p.data)) {
			p.data, p.after = p.data[:most], nil
			l.parts = l.parts[:i+1]
			return false
		}
		most -= int64(len(p.data))
	}
	return true
}

// split divides parts with more than the given number of bytes.
func (l *layout) split(most int) {
	var parts []part
	for _, p := range l.parts {
		for len(p.data) > most {
			parts = append(parts, part{p.before, p.data[:most], nil})
			p.before, p.data = nil, p.data[most:]
		}
		parts = append(parts, p)
	}
	l.parts = parts
}

// framing says how a reply is laid out.
type framing struct {
	profile   *profile // nil: plain
	chunked   bool
	chunkSize int
	lengthOff int
	noBody    bool // a reply to HEAD
	closes    bool
	undated   bool
}

func (r *reply) layOut(f framing) layout {
	head := r.header.Clone()
	for _, name := range []string{"Content-Length", "Transfer-Encoding"} {
		head.Del(name)
	}
	if head.Get("Date") == "" && !f.undated {
		head.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if f.closes {
		head.Set("Connection", "close")
	}
	switch {
	case !r.bodyAllowed():
	case f.chunked:
		head.Set("Transfer-Encoding", "chunked")
	default:
		head.Set("Content-Length", fmt.Sprint(len(r.body)+f.lengthOff))
	}
	out := layout{head: f.profile.head(r.status, head)}
	switch {
	case f.noBody || !r.bodyAllowed():
	case f.chunked:
		out.parts = chunks(r.body, f.chunkSize)
	case len(r.body) > 0:
		out.parts = []part{{data: r.body}}
	}
	return out
}

func chunks(body []byte, size int) []part {
	parts := make([]part, 0, len(body)/size+2)
	for len(body) > 0 {
		data := body[:min(size, len(body))]
		parts = append(parts, part{fmt.Appendf(nil, "%x\r\n", len(data)), data, []byte("\r\n")})
		body = body[len(data):]
	}
	return append(parts, part{before: []byte("0\r\n\r\n")})
}

// head writes the status line and the header lines in the profile's order.
func (m *profile) head(status int, header http.Header) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	if m != nil {
		for _, l := range m.lines {
			key := http.CanonicalHeaderKey(l.name)
			values := header[key]
			delete(header, key)
			if len(values) == 0 && l.value != "" {
				values = []string{l.value}
			}
			for _, value := range values {
				fmt.Fprintf(&out, "%s: %s\r\n", l.name, value)
			}
		}
	}
	_ = header.Write(&out)
	out.WriteString("\r\n")
	return out.Bytes()
}

var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// packed keeps the compressed body of a rule, so that a large body is compressed only once.
type packed struct {
	once sync.Once
	body []byte
}

func (r *reply) compress() {
	if p := r.packed; p != nil {
		p.once.Do(func() { p.body = compressed(r.body) })
		r.body = p.body
	} else {
		r.body = compressed(r.body)
	}
	r.header.Set("Content-Encoding", "gzip")
}

func compressed(body []byte) []byte {
	var out bytes.Buffer
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&out)
	_, _ = z.Write(body)
	_ = z.Close()
	return out.Bytes()
}

func asksForGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") && weight != "q=0" {
			return true
		}
	}
	return false
}
