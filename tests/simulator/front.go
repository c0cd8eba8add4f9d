package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
)

// front stands before the simulator: every request of a client passes it. It
// counts, logs, applies the rules and keeps the account of the sessions.
type front struct {
	inner   http.Handler
	account *account
	rules   *ruleSet
	stats   *stats
	journal *journal
	stop    <-chan struct{}
}

// call is one request under way.
type call struct {
	envelope
	start        int64
	httpMethod   string
	path         string
	method       string // SOAP method, or the HTTP method of any other request
	cookie       string // session cookie, header or SOAP header, without quotes
	soapAction   string // without quotes
	cookieHeader string // the Cookie header as sent: a real vCenter wants its quotes back
	key          string // the same if it belonged to a live session
	rest         bool   // cookie is a REST session id
	probe        bool   // a POST with an action: no REST login
	body         []byte
	newKey       string
	released     bool
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{start: now(), httpMethod: r.Method, path: r.URL.Path, method: r.Method}
	c.soapAction = strings.Trim(r.Header.Get("SOAPAction"), `"`)
	f.stats.inFlight.Add(1)
	defer f.release(c)

	if streams(r) {
		f.stats.call(c.name())
		f.log(r, c, nil, "stream")
		f.inner.ServeHTTP(w, r)
		return
	}

	c.probe = r.URL.Query().Has("~action")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.log(r, c, nil, "request cut off")
		panic(http.ErrAbortHandler)
	}
	c.body = body
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Method == http.MethodPost && bytes.HasPrefix(bytes.TrimLeft(body, "\ufeff \t\r\n"), []byte("<")) {
		if e, ok := scanEnvelope(body); ok {
			c.envelope = e
			c.method = e.method
		}
	}
	f.identify(r, c)
	f.stats.call(c.name())

	if rl := f.rules.pick(c); rl != nil {
		f.stats.ruleHits.Add(1)
		f.serveBy(w, r, c, rl)
		return
	}
	rep := f.run(r, c)
	f.done(r, c, rep, nil)
	f.release(c)
	rep.send(w)
}

// streams tells of the requests that carry files and are not kept back.
func streams(r *http.Request) bool {
	for _, prefix := range []string{"/folder/", "/nfc/", "/guestFile"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return true
		}
	}
	return false
}

// name is the key of the call in the "calls" counters.
func (c *call) name() string {
	if c.envelope.method != "" {
		return c.envelope.method
	}
	return c.httpMethod + " " + c.path
}

// identify finds the session that the request claims.
func (f *front) identify(r *http.Request, c *call) {
	c.cookieHeader = r.Header.Get("Cookie")
	if c.envelope.method == "" {
		c.cookie = restID(r)
		c.rest = c.cookie != ""
	}
	if cookie, err := r.Cookie(soap.SessionCookieName); c.cookie == "" && err == nil {
		c.cookie = cookie.Value
	}
	if c.cookie == "" {
		c.cookie = c.envelope.cookie
	}
	if c.cookie != "" && f.account.isLive(c.cookie) {
		c.key = c.cookie
	}
}

// release takes the call out of the count of requests in flight. That happens
// before a plain answer leaves, so that a client with its answer finds the
// count settled.
func (f *front) release(c *call) {
	if !c.released {
		c.released = true
		f.stats.inFlight.Add(-1)
	}
}

// run passes the request on and keeps the account of what came of it.
func (f *front) run(r *http.Request, c *call) *reply {
	rep := newReply()
	defer func() {
		if p := recover(); p != nil {
			log.Printf("%s: the simulator panicked: %v\n%s", c.name(), p, debug.Stack())
			rep.status, rep.body = http.StatusInternalServerError, []byte("simulator panic\n")
		}
	}()
	if c.envelope.method == "" {
		f.runRest(rep, r, c)
		return rep
	}
	live, allowed := f.account.enter(c.cookie)
	if live {
		defer f.account.leave(c.cookie)
	}
	if !allowed {
		r.Header.Del("Cookie")
		if c.envelope.cookie != "" { // blank it out in the body, too
			copy(c.body[c.cookieAt:], strings.Repeat("0", len(c.envelope.cookie)))
		}
	}
	if c.method == "AcquireCloneTicket" {
		f.account.ticketing.RLock()
		defer f.account.ticketing.RUnlock()
	}
	f.inner.ServeHTTP(rep, r)
	if rep.status < 400 {
		f.settle(c, rep)
	}
	return rep
}

// settle notes what a successful SOAP call did to the sessions.
func (f *front) settle(c *call, rep *reply) {
	switch c.method {
	case "Login", "LoginByToken", "LoginExtensionByCertificate", "LoginBySSPI", "CloneSession", "ImpersonateUser":
		c.newKey = newCookie(rep)
		if c.newKey == "" {
			return
		}
		f.account.add(c.newKey)
		f.stats.login(c.method)
		switch c.method {
		case "CloneSession":
			for _, ticket := range elements(c.body, "cloneTicket") {
				f.account.useTicket(ticket)
			}
		case "ImpersonateUser":
			// The simulator makes a second session, a real server
			// converts the one there is.
			f.account.end(c.cookie)
		}
	case "Logout":
		f.account.end(c.cookie)
		f.stats.logouts.Add(1)
	case "TerminateSession":
		f.account.end(elements(c.body, "sessionId")...)
	case "AcquireCloneTicket":
		for _, ticket := range elements(rep.body, "returnval") {
			f.account.addTicket(ticket, c.cookie)
		}
	}
}

func newCookie(rep *reply) string {
	for _, line := range rep.header["Set-Cookie"] {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name == soap.SessionCookieName {
			return cookie.Value
		}
	}
	return ""
}

// done counts and logs the call, before its answer leaves.
func (f *front) done(r *http.Request, c *call, rep *reply, rl *rule) {
	result, fault := rep.result()
	f.stats.reply(rep.status, fault)
	if f.isFailedLogin(c, rep, fault) {
		f.stats.loginFailures.Add(1)
	}
	f.log(r, c, rl, result)
}

func (f *front) isFailedLogin(c *call, rep *reply, fault string) bool {
	switch c.method {
	case "Login", "LoginByToken", "LoginExtensionByCertificate", "LoginBySSPI", "CloneSession", "ImpersonateUser":
		return fault != "" && fault != "SSPIChallenge"
	}
	return isRestLogin(c) && rep.status == http.StatusUnauthorized
}

func (f *front) log(r *http.Request, c *call, rl *rule, result string) {
	e := entry{
		StartNs: c.start, EndNs: now(),
		HTTPMethod: c.httpMethod, Path: c.path, Method: c.method,
		SessionKey: c.key, Cookie: c.cookie, CookieHeader: c.cookieHeader, OperationID: c.operationID,
		UserAgent: r.UserAgent(), SoapAction: c.soapAction,
		Result: result, NewSessionKey: c.newKey,
	}
	if rl != nil {
		e.Rule = rl.ID
	}
	if conn := connectionOf(r.Context()); conn != nil {
		e.Connection = conn.id
	}
	f.journal.add(e)
}

// serveBy answers a request to which a rule applies. The method runs even if
// the client has gone meanwhile, as it does on a real server.
func (f *front) serveBy(w http.ResponseWriter, r *http.Request, c *call, rl *rule) {
	f.pause(millis(rl.DelayMs))
	switch {
	case rl.Reset == "before" || rl.Close == "before":
		f.cut(r, c, rl, true)
	case rl.Hang:
		select {
		case <-r.Context().Done():
		case <-f.stop:
		}
		f.log(r, c, rl, "hang")
		panic(http.ErrAbortHandler)
	}
	var rep *reply
	if rl.canned() {
		rep = cannedReply(rl, c.envelope)
	} else {
		rep = f.run(r, c)
	}
	f.pause(millis(rl.DelayAfterMs))
	if rl.Reset == "after" || rl.Close == "after" {
		f.cut(r, c, rl, true)
	}
	f.done(r, c, rep, rl) // before gzip hides the fault's name
	rep.dress(rl)
	if rl.spoils() {
		f.release(c)
		rep.spoil(w, rl, f.rules)
	} else if rl.TruncateAt == nil && rl.Drip == nil && !rl.Chunked {
		f.release(c)
		rep.send(w)
	} else if !rep.sendBy(w, rl, f.pause) {
		f.cut(r, c, rl, false)
	}
}

// cut ends the connection without a (whole) answer.
func (f *front) cut(r *http.Request, c *call, rl *rule, logged bool) {
	how := "close"
	if rl.Reset != "" {
		how = "reset"
	}
	if logged {
		f.log(r, c, rl, how)
	}
	f.release(c)
	if conn := connectionOf(r.Context()); conn != nil {
		switch {
		case rl.Reset != "":
			conn.reset()
		case rl.Abrupt: // no TLS close_notify before the FIN
			_ = conn.Close()
		}
	}
	panic(http.ErrAbortHandler) // net/http closes the connection
}

func (f *front) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.stop:
	}
}
