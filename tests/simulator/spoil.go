package main

import (
	"bytes"
	"io"
	"net/http"
)

// stop ends a reply at one of its bytes, counted over head and body.
type stop struct {
	Byte int    `json:"byte"` // this many are sent; negative: all but this many
	Then string `json:"then"` // reset, close, or stall until the client disconnects
}

// spoils reports whether spoil writes the reply, without net/http.
func (r *rule) spoils() bool {
	return r.Stop != nil || r.LengthOff != 0 || r.Raw != ""
}

// headLength returns the length of a reply's head, or 0 if there is none.
func headLength(whole []byte) int {
	if head, _, ok := bytes.Cut(whole, []byte("\r\n\r\n")); ok {
		return len(head) + 4
	}
	return 0
}

// spoil writes the reply's bytes as the rule requires and then ends the
// connection, unless the client has already done so.
func (r *reply) spoil(w http.ResponseWriter, rl *rule, f framing, set *ruleSet) {
	whole := []byte(rl.Raw)
	if rl.Raw == "" {
		f.lengthOff, f.undated = rl.LengthOff, f.profile == nil
		whole = r.layOut(f).bytes()
	}
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
