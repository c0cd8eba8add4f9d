package main

import (
	"maps"
	"sync"
	"sync/atomic"
)

// stats counts what clients did. Sessions are not counted here: their number
// is read from the simulator (see account.go).
type stats struct {
	mu       sync.Mutex
	calls    map[string]int64
	faults   map[string]int64
	statuses map[int]int64
	loginsBy map[string]int64

	logins        atomic.Int64
	loginFailures atomic.Int64
	logouts       atomic.Int64
	killed        atomic.Int64
	expired       atomic.Int64
	accepted      atomic.Int64
	handshakes    atomic.Int64
	resumed       atomic.Int64
	requests      atomic.Int64
	ruleHits      atomic.Int64

	inFlight atomic.Int64 // a level, not a counter: reset keeps it
}

func newStats() *stats {
	s := new(stats)
	s.reset()
	return s
}

func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = make(map[string]int64)
	s.faults = make(map[string]int64)
	s.statuses = make(map[int]int64)
	s.loginsBy = make(map[string]int64)
	for _, c := range []*atomic.Int64{
		&s.logins, &s.loginFailures, &s.logouts, &s.killed, &s.expired,
		&s.accepted, &s.handshakes, &s.resumed, &s.requests, &s.ruleHits,
	} {
		c.Store(0)
	}
}

func (s *stats) call(name string) {
	s.requests.Add(1)
	s.mu.Lock()
	s.calls[name]++
	s.mu.Unlock()
}

func (s *stats) reply(status int, fault string) {
	s.mu.Lock()
	s.statuses[status]++
	if fault != "" {
		s.faults[fault]++
	}
	s.mu.Unlock()
}

func (s *stats) login(method string) {
	s.logins.Add(1)
	s.mu.Lock()
	s.loginsBy[method]++
	s.mu.Unlock()
}

// report is the body of GET /stats.
type report struct {
	Logins        int64            `json:"logins"`
	LoginsBy      map[string]int64 `json:"logins_by"`
	LoginFailures int64            `json:"login_failures"`
	Logouts       int64            `json:"logouts"`
	Killed        int64            `json:"killed"`
	Expired       int64            `json:"expired"`
	Sessions      int              `json:"sessions"`
	SoapSessions  int              `json:"soap_sessions"`
	RestSessions  int              `json:"rest_sessions"`
	CloneTickets  int              `json:"clone_tickets"`
	Calls         map[string]int64 `json:"calls"`
	Faults        map[string]int64 `json:"faults"`
	Statuses      map[int]int64    `json:"statuses"`
	Requests      int64            `json:"requests"`
	RuleHits      int64            `json:"rule_hits"`
	InFlight      int64            `json:"requests_in_flight"`
	Accepted      int64            `json:"connections_accepted"`
	Open          int              `json:"connections_open"`
	Handshakes    int64            `json:"tls_handshakes"`
	Resumed       int64            `json:"tls_resumed"`
	NowNs         int64            `json:"now_ns"`
}

func (s *stats) report() report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return report{
		Logins:        s.logins.Load(),
		LoginsBy:      maps.Clone(s.loginsBy),
		LoginFailures: s.loginFailures.Load(),
		Logouts:       s.logouts.Load(),
		Killed:        s.killed.Load(),
		Expired:       s.expired.Load(),
		Calls:         maps.Clone(s.calls),
		Faults:        maps.Clone(s.faults),
		Statuses:      maps.Clone(s.statuses),
		Requests:      s.requests.Load(),
		RuleHits:      s.ruleHits.Load(),
		InFlight:      s.inFlight.Load(),
		Accepted:      s.accepted.Load(),
		Handshakes:    s.handshakes.Load(),
		Resumed:       s.resumed.Load(),
		NowNs:         now(),
	}
}
