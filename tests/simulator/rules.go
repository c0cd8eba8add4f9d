package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// rule says what happens to the requests that it matches. The README describes each field; a zero value has no effect.
type rule struct {
	// Which requests.
	Method      string   `json:"method,omitempty"`
	Path        string   `json:"path,omitempty"`
	SessionKey  string   `json:"session_key,omitempty"`
	SoapAction  string   `json:"soap_action,omitempty"`
	Times       int      `json:"times,omitempty"`
	Skip        int      `json:"skip,omitempty"`
	Probability *float64 `json:"probability,omitempty"`

	// When.
	DelayMs      int  `json:"delay_ms,omitempty"`
	DelayAfterMs int  `json:"delay_after_ms,omitempty"`
	Hang         bool `json:"hang,omitempty"`

	// A reply instead of the method's.
	Fault        string `json:"fault,omitempty"`
	FaultMessage string `json:"fault_message,omitempty"`
	FaultXML     string `json:"fault_xml,omitempty"`
	Status       int    `json:"status,omitempty"`
	ContentType  string `json:"content_type,omitempty"`
	Body         string `json:"body,omitempty"`
	BodyRepeat   int64  `json:"body_repeat,omitempty"`

	// What is changed in it.
	Insert []byte `json:"insert,omitempty"`

	// How the reply is sent.
	Headers    map[string]string `json:"headers,omitempty"`
	SetCookie  string            `json:"set_cookie,omitempty"`
	Chunked    bool              `json:"chunked,omitempty"`
	Chunks     string            `json:"chunks,omitempty"`
	ChunkSize  int               `json:"chunk_size,omitempty"`
	Gzip       bool              `json:"gzip,omitempty"`
	TruncateAt *int64            `json:"truncate_at,omitempty"`
	Drip       *drip             `json:"drip,omitempty"`
	Reset      string            `json:"reset,omitempty"`
	Close      string            `json:"close,omitempty"`
	Abrupt     bool              `json:"abrupt,omitempty"`

	// The reply's bytes, without net/http (spoil.go).
	Stop      *stop  `json:"stop,omitempty"`
	LengthOff int    `json:"length_off,omitempty"`
	Raw       string `json:"raw,omitempty"`

	// Set by the program.
	ID      int `json:"id"`
	Matched int `json:"matched"`
	Applied int `json:"applied"`
	Length  int `json:"length,omitempty"` // of the last spoilt reply, head and body
	Head    int `json:"head,omitempty"`   // of its head

	packed packed
}

type drip struct {
	Bytes   int `json:"bytes"`
	EveryMs int `json:"every_ms"`
}

// canned reports whether the rule supplies the reply, so that the method does not run.
func (r *rule) canned() bool {
	return r.Fault != "" || r.FaultXML != "" || r.Status != 0 || r.Body != "" || r.BodyRepeat > 0 || r.Raw != ""
}

func (r *rule) check() error {
	if r.Method == "" && r.Path == "" && r.SessionKey == "" {
		return errors.New(`a rule needs a method ("*" for all), a path or a session_key`)
	}
	for name, when := range map[string]string{"reset": r.Reset, "close": r.Close} {
		if when != "" && when != "before" && when != "after" {
			return fmt.Errorf(`%s is "before" or "after"`, name)
		}
	}
	if r.Reset != "" && r.Close != "" {
		return errors.New("reset and close exclude each other")
	}
	if r.Fault != "" {
		if _, err := newFault(r.Fault); err != nil {
			return err
		}
	}
	if r.Status != 0 && (r.Status < 200 || r.Status > 999) {
		return errors.New("status is out of range")
	}
	if r.BodyRepeat < 0 || r.BodyRepeat > 1<<30 {
		return errors.New("body_repeat is out of range")
	}
	if r.TruncateAt != nil && *r.TruncateAt < 0 {
		return errors.New("truncate_at is negative")
	}
	if err := checkChunks(r.Chunks, r.ChunkSize); err != nil {
		return err
	}
	if r.Stop != nil && !isEnd(r.Stop.Then) {
		return errors.New(`stop needs then: "reset", "close" or "stall"`)
	}
	if r.spoils() && (r.Drip != nil || r.TruncateAt != nil) {
		return errors.New("stop, length_off and raw go with neither drip nor truncate_at")
	}
	if r.Drip != nil && (r.Drip.Bytes <= 0 || r.Drip.EveryMs < 0) {
		return errors.New("drip needs bytes > 0")
	}
	if p := r.Probability; p != nil && (*p < 0 || *p > 1) {
		return errors.New("probability is between 0 and 1")
	}
	return nil
}

// chunks reports whether the rule requires a chunked reply.
func (r *rule) chunks() bool { return r.Chunked || r.Chunks != "" || r.ChunkSize > 0 }

func (r *rule) matches(c *call) bool {
	if r.Method != "" && r.Method != "*" && r.Method != c.method {
		return false
	}
	if r.SessionKey != "" && r.SessionKey != c.cookie {
		return false
	}
	if other, ok := strings.CutPrefix(r.SoapAction, "!"); ok && (c.soapAction == "" || other == c.soapAction) {
		return false
	} else if !ok && r.SoapAction != "" && r.SoapAction != c.soapAction {
		return false
	}
	if prefix, ok := strings.CutSuffix(r.Path, "*"); ok {
		return strings.HasPrefix(c.path, prefix)
	}
	return r.Path == "" || r.Path == c.path
}

// ruleSet holds the rules in the order in which they were added.
type ruleSet struct {
	mu    sync.Mutex
	rules []*rule
	last  int
}

func (s *ruleSet) add(r *rule) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	r.ID, r.Matched, r.Applied = s.last, 0, 0
	s.rules = append(s.rules, r)
	return r.ID
}

// remove deletes one rule, or all of them for id 0.
func (s *ruleSet) remove(id int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.rules[:0:0]
	for _, r := range s.rules {
		if id != 0 && r.ID != id {
			kept = append(kept, r)
		}
	}
	n := len(s.rules) - len(kept)
	s.rules = kept
	return n
}

// noteLengths keeps the lengths of a spoilt reply and of its head for GET /rules.
func (s *ruleSet) noteLengths(r *rule, length, head int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Length, r.Head = length, head
}

func (s *ruleSet) list() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules) == 0 {
		return json.RawMessage("[]")
	}
	out, err := json.Marshal(s.rules)
	if err != nil {
		panic(err) // the fields are plain data
	}
	return out
}

// pick returns the first rule that applies to the call. A rule that is used up, still skips or loses its draw leaves the
// call to the next ones.
func (s *ruleSet) pick(c *call) *rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if !r.matches(c) || (r.Times > 0 && r.Applied >= r.Times) {
			continue
		}
		r.Matched++
		if r.Matched <= r.Skip {
			continue
		}
		if r.Probability != nil && rand.Float64() >= *r.Probability {
			continue
		}
		r.Applied++
		return r
	}
	return nil
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
