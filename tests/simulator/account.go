package main

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	restSessionPath   = "/rest/com/vmware/cis/session"
	restSessionHeader = "vmware-api-session-id"

	// How long an ended session is remembered. See the dead field.
	deadFor = time.Minute
)

// account knows the credentials and the sessions.
//
// The live SOAP sessions are read from the simulator's own session table each time, less its entries that are not sessions:
// clone tickets, and sessions that ended. The session of the control port is not in that table. The REST sessions cannot be
// read from the simulator, so they are kept here, from the logins, logouts, kills and expiries that pass the front.
type account struct {
	reg   *simulator.Registry
	sm    *simulator.SessionManager
	stats *stats
	mux   http.Handler // the simulator, to end a REST session in it

	// A ticket enters the session table before its reply identifies it as a ticket. A reader of the table waits for these calls
	// to end.
	ticketing sync.RWMutex

	// A REST session of the simulator's, in which requests with a session that serves vim25, too, are passed on.
	owning sync.Mutex
	own    string

	mu       sync.Mutex
	user     string
	password string
	timeout  time.Duration // idle
	life     time.Duration // absolute, of sessions that serve REST
	known    map[string]*activity
	tickets  map[string]string // clone ticket to the session that asked for it
	rest     map[string]*restSession

	// The simulator looks a session up and writes it back at each request,
	// so that a request concurrent with a logout can bring the session back
	// to life. A key in dead is not a session, whatever the table contains.
	dead     map[string]time.Time
	prunedAt time.Time

	changed chan struct{}
	unified func() bool // whether all sessions serve REST
}

// activity says whether a session is in use, for the idle timeout.
type activity struct {
	busy int
	last time.Time
}

type restSession struct {
	user    string
	created time.Time
	activity
}

// liveSession is one element of GET /sessions.
type liveSession struct {
	Key        string    `json:"key"`
	Kind       string    `json:"kind"` // soap or rest
	User       string    `json:"user"`
	LoginTime  time.Time `json:"login_time"`
	LastActive time.Time `json:"last_active"`
	Busy       int       `json:"requests_in_flight"`
	UserAgent  string    `json:"user_agent,omitempty"`
	CallCount  int64     `json:"call_count,omitempty"`
}

func newAccount(reg *simulator.Registry, st *stats, user, password string) *account {
	a := &account{
		reg: reg, sm: reg.SessionManager(), stats: st,
		user: user, password: password,
		known:   make(map[string]*activity),
		tickets: make(map[string]string),
		rest:    make(map[string]*restSession),
		dead:    make(map[string]time.Time),
		changed: make(chan struct{}, 1),
	}
	a.sm.ValidLogin = func(req *types.Login) bool { return a.accepts(req.UserName, req.Password) }
	return a
}

func (a *account) accepts(user, password string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return subtle.ConstantTimeCompare([]byte(user), []byte(a.user)) == 1 &&
		subtle.ConstantTimeCompare([]byte(password), []byte(a.password)) == 1
}

func (a *account) setCredentials(user, password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.user, a.password = user, password
}

// enter is called before a request is passed on. It reports whether the key may be used. The key of a dead session or a
// clone ticket may not, and the request is passed on without it.
func (a *account) enter(key string) (live, allowed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, dead := a.dead[key]; dead {
		return false, false
	}
	if _, ticket := a.tickets[key]; ticket {
		return false, false
	}
	if s := a.known[key]; s != nil {
		s.busy++
		return true, true
	}
	return false, true
}

func (a *account) leave(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.known[key]; s != nil {
		s.busy--
		s.last = time.Now()
	}
}

func (a *account) isSoap(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[key] != nil
}

func (a *account) isRest(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rest[id] != nil
}

func (a *account) add(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known[key] = &activity{last: time.Now()}
}

func (a *account) addTicket(ticket, from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tickets[ticket] = from
}

func (a *account) useTicket(ticket string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.tickets, ticket)
}

// end ends SOAP sessions in the simulator and here. A session's clone tickets
// end with it.
func (a *account) end(keys ...string) {
	now := time.Now()
	a.mu.Lock()
	gone := append([]string(nil), keys...)
	for _, key := range keys {
		a.dead[key] = now
		delete(a.known, key)
	}
	if len(a.tickets) > 0 {
		ended := make(map[string]bool, len(keys))
		for _, key := range keys {
			ended[key] = true
		}
		for ticket, from := range a.tickets {
			if ended[from] {
				a.dead[ticket] = now
				delete(a.tickets, ticket)
				gone = append(gone, ticket)
			}
		}
	}
	if now.Sub(a.prunedAt) > deadFor {
		a.prunedAt = now
		for key, at := range a.dead {
			if now.Sub(at) > deadFor {
				// Once more, in case a request brought it back.
				gone = append(gone, key)
				delete(a.dead, key)
			}
		}
	}
	a.mu.Unlock()
	for _, key := range gone {
		a.terminate(key)
	}
}

// terminate is the simulator's own TerminateSession, called in process.
func (a *account) terminate(key string) {
	caller := &simulator.Session{UserSession: types.UserSession{Key: "control"}}
	a.sm.TerminateSession(&simulator.Context{Session: caller}, &types.TerminateSession{SessionId: []string{key}})
}

// sessions lists the live sessions, oldest first.
func (a *account) sessions() []liveSession {
	a.ticketing.Lock()
	view := &simulator.Session{Registry: simulator.NewRegistry(), Map: a.reg}
	table := view.Get(a.sm.Self).(*simulator.SessionManager).SessionList
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ticketing.Unlock()

	out := make([]liveSession, 0, len(table)+len(a.rest))
	for i := range table {
		u := &table[i]
		if _, dead := a.dead[u.Key]; dead {
			continue
		}
		if _, ticket := a.tickets[u.Key]; ticket {
			continue
		}
		s := liveSession{
			Key: u.Key, Kind: "soap", User: u.UserName, LoginTime: u.LoginTime,
			LastActive: u.LastActiveTime, UserAgent: u.UserAgent, CallCount: u.CallCount,
		}
		if act := a.known[u.Key]; act != nil {
			s.Busy = act.busy
			if act.last.After(s.LastActive) {
				s.LastActive = act.last
			}
		}
		out = append(out, s)
	}
	for id, r := range a.rest {
		out = append(out, liveSession{
			Key: id, Kind: "rest", User: r.user, LoginTime: r.created, LastActive: r.last, Busy: r.busy,
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].LoginTime.Before(out[j].LoginTime) })
	return out
}

func (a *account) ticketCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tickets)
}

// kill ends the session with the given key, or all of them if it is empty.
func (a *account) kill(key string) int {
	n := a.killIf(func(s *liveSession) bool { return key == "" || s.Key == key })
	a.stats.killed.Add(int64(n))
	return n
}

func (a *account) killIf(chosen func(*liveSession) bool) int {
	var soap []string
	n := 0
	for _, s := range a.sessions() {
		if !chosen(&s) {
			continue
		}
		n++
		if s.Kind == "rest" {
			a.endRest(s.Key)
		} else {
			soap = append(soap, s.Key)
		}
	}
	if len(soap) > 0 {
		a.end(soap...)
	}
	return n
}

// enterRest is called before a REST request is passed on. In a session that serves vim25, too, REST requests do not reset the
// idle clock: nothing says that they do on a real server.
func (a *account) enterRest(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.rest[id]; r != nil {
		r.busy++
	} else if s := a.known[id]; s != nil {
		s.busy++
	}
}

func (a *account) leaveRest(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.rest[id]; r != nil {
		r.busy--
		r.last = time.Now()
	} else if s := a.known[id]; s != nil {
		s.busy--
	}
}

func (a *account) addRest(id, user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.rest[id] = &restSession{user: user, created: now, activity: activity{last: now}}
}

func (a *account) dropRest(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.rest, id)
}

// endRest logs out a REST session with a request of its own, which does not pass the front and so is not counted.
func (a *account) endRest(id string) {
	a.dropRest(id)
	r := httptest.NewRequest(http.MethodDelete, restSessionPath, nil)
	r.Header.Set(restSessionHeader, id)
	a.mux.ServeHTTP(httptest.NewRecorder(), r)
}

// ownRest returns the id of a REST session that only the front uses. It is in no list of sessions.
func (a *account) ownRest() string {
	user, password := a.credentials()
	a.owning.Lock()
	defer a.owning.Unlock()
	if a.own == "" {
		r := httptest.NewRequest(http.MethodPost, restSessionPath, nil)
		r.SetBasicAuth(user, password)
		r.Header.Set("vmware-use-header-authn", "true")
		w := httptest.NewRecorder()
		a.mux.ServeHTTP(w, r)
		var id struct{ Value string }
		_ = json.Unmarshal(w.Body.Bytes(), &id)
		a.own = id.Value
	}
	return a.own
}

func (a *account) setTimeout(d time.Duration) { a.setLimit(&a.timeout, d) }

func (a *account) setLife(d time.Duration) { a.setLimit(&a.life, d) }

func (a *account) setLimit(limit *time.Duration, d time.Duration) {
	a.mu.Lock()
	*limit = d
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *account) limits() (timeout, life time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.timeout, a.life
}

// expire ends idle sessions, and those at the end of their life, until stop is closed. The simulator's own timeout is not used: it ends a session between one and
// two times the timeout, applies only to later logins and counts a long call as idleness.
func (a *account) expire(stop <-chan struct{}) {
	for {
		timeout, life := a.limits()
		var tick <-chan time.Time
		shortest := timeout
		if timeout == 0 || life > 0 && life < timeout {
			shortest = life
		}
		if shortest > 0 {
			tick = time.After(min(max(shortest/20, 5*time.Millisecond), 10*time.Second))
		}
		select {
		case <-stop:
			return
		case <-a.changed:
			continue
		case <-tick:
		}
		at := time.Now()
		unified := a.unified()
		n := a.killIf(func(s *liveSession) bool {
			idle := timeout > 0 && s.Busy == 0 && at.Sub(s.LastActive) > timeout
			return idle || life > 0 && (s.Kind == "rest" || unified) && at.Sub(s.LoginTime) > life
		})
		a.stats.expired.Add(int64(n))
	}
}

func (a *account) credentials() (user, password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.user, a.password
}
