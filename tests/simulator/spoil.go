package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// stop ends an answer at one of its bytes, head and body counted together.
type stop struct {
	Byte int    `json:"byte"` // so many are sent; negative: all but so many
	Then string `json:"then"` // reset, close, or stall until the client goes
}

// spoils tells whether the answer's bytes are written by spoil, past net/http.
func (r *rule) spoils() bool {
	return r.Stop != nil || r.LengthOff != 0 || r.Raw != ""
}

// bytes is the answer as it travels: head and body.
func (r *reply) bytes(rl *rule) []byte {
	if rl.Raw != "" {
		return []byte(rl.Raw)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	head := r.header.Clone()
	head.Del("Content-Length")
	if rl.Chunked {
		head.Set("Transfer-Encoding", "chunked")
	} else {
		head.Set("Content-Length", strconv.Itoa(len(r.body)+rl.LengthOff))
	}
	_ = head.Write(&out)
	out.WriteString("\r\n")
	if !rl.Chunked {
		out.Write(r.body)
		return out.Bytes()
	}
	for rest, size := r.body, len(r.body)/3+1; len(rest) > 0; rest = rest[min(size, len(rest)):] {
		chunk := rest[:min(size, len(rest))]
		fmt.Fprintf(&out, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	out.WriteString("0\r\n\r\n")
	return out.Bytes()
}

// headLength is the length of an answer's head; 0 where the bytes have none.
func headLength(whole []byte) int {
	if head, _, ok := bytes.Cut(whole, []byte("\r\n\r\n")); ok {
		return len(head) + 4
	}
	return 0
}

// spoil writes the answer byte for byte as the rule says and ends the
// connection, where the client has not done so before.
func (r *reply) spoil(w http.ResponseWriter, rl *rule, set *ruleSet) {
	whole := r.bytes(rl)
	set.noteLengths(rl, len(whole), headLength(whole))
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	then := "close"
	if rl.Stop != nil {
		then = rl.Stop.Then
		end := rl.Stop.Byte
		if end < 0 {
			end += len(whole)
		}
		whole = whole[:min(max(end, 0), len(whole))]
	}
	if _, err := conn.Write(whole); err != nil {
		return
	}
	switch then {
	case "reset":
		if c := socket(conn); c != nil {
			c.reset()
		}
	case "stall":
		_, _ = io.Copy(io.Discard, conn)
	}
}
