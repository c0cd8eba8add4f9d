package main

import (
	"bytes"
	"io"
	"net/http"
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

// headLength is the length of an answer's head; 0 where the bytes have none.
func headLength(whole []byte) int {
	if head, _, ok := bytes.Cut(whole, []byte("\r\n\r\n")); ok {
		return len(head) + 4
	}
	return 0
}

// spoil writes the answer byte for byte as the rule says and ends the
// connection, where the client has not done so before.
func (r *reply) spoil(w http.ResponseWriter, rl *rule, f framing, set *ruleSet) {
	whole := []byte(rl.Raw)
	if rl.Raw == "" {
		f.lengthOff, f.undated = rl.LengthOff, f.manner == nil
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
