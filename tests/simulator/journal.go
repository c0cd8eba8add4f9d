package main

import (
	"sync"
	"time"
)

var started = time.Now()

// now is monotonic nanoseconds since the program started.
func now() int64 { return int64(time.Since(started)) }

// entry is one completed request.
type entry struct {
	Seq            int64  `json:"seq"`
	StartNs        int64  `json:"start_ns"`
	EndNs          int64  `json:"end_ns"`
	HTTPMethod     string `json:"http_method"`
	Path           string `json:"path"`
	Method         string `json:"method"`
	SessionKey     string `json:"session_key,omitempty"`
	Cookie         string `json:"cookie,omitempty"`
	CookieHeader   string `json:"cookie_header,omitempty"`
	OperationID    string `json:"operation_id,omitempty"`
	UserAgent      string `json:"user_agent,omitempty"`
	SoapAction     string `json:"soap_action,omitempty"`
	AcceptEncoding string `json:"accept_encoding,omitempty"`
	Result         string `json:"result"`
	NewSessionKey  string `json:"new_session_key,omitempty"`
	Rule           int    `json:"rule,omitempty"`
	Connection     int64  `json:"connection,omitempty"`
}

// journal keeps the last entries in a ring, in order of completion. An entry
// is written before its reply leaves, so a client that has its reply finds
// the entry.
type journal struct {
	mu   sync.Mutex
	max  int
	ring []entry
	next int // slot of the oldest entry once the ring is full
	seq  int64
}

func (j *journal) add(e entry) {
	if j.max <= 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	if len(j.ring) < j.max {
		j.ring = append(j.ring, e)
		return
	}
	j.ring[j.next] = e
	j.next = (j.next + 1) % j.max
}

// since returns the entries with a greater seq than the given one.
func (j *journal) since(seq int64) []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]entry, 0, len(j.ring))
	for _, part := range [][]entry{j.ring[j.next:], j.ring[:j.next]} {
		for i := range part {
			if part[i].Seq > seq {
				out = append(out, part[i])
			}
		}
	}
	return out
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring, j.next, j.seq = nil, 0, 0
}
