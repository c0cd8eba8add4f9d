package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
)

// front handles every client request before the simulator does. It counts,
// logs, applies the rules and keeps track of the sessions.
type front struct {
	inner   http.Handler
	account *account
	rules   *ruleSet
	stats   *stats
	journal *journal
	stop    <-chan struct{}

	isVCenter bool
	settings  atomic.Pointer[settings]
}

// call is one request under way.
type call struct {
	envelope
	start        int64
	httpMethod   string
	path         string
	method       string // SOAP method, or the HTTP method of any other request
	cookie       string // session key or REST session id that the request claims
	sentCookie   string // cookie, header or SOAP header as sent, without quotes
	soapAction   string // without quotes
	cookieHeader string // the Cookie header as sent: a real vCenter expects its quotes back
	key          string // the session key if the session is alive
	rest         bool   // cookie is a REST session id
	shared       bool   // cookie is a session for vim25 and REST
	probe        bool   // a POST with an action: no REST login
	vi           *viCall
	tls          bool
	body         []byte
	newKey       string
	released     bool
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{start: now(), httpMethod: r.Method, path: r.URL.Path, method: r.Method}
	c.soapAction = strings.Trim(r.Header.Get("SOAPAction"), `"`)
	c.tls = r.TLS != nil
	f.stats.inFlight.Add(1)
	defer f.release(c)

	if streams(r) {
		f.stats.call(c.name())
		f.log(r, c, nil, "stream")
		if e, ok := w.(*exchange); ok {
			e.stream(f.inner, r)
		} else {
			f.inner.ServeHTTP(w, r)
		}
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
	if c.vi = scanViPath(c.path); c.vi != nil && f.hasVi() && r.Method == http.MethodPost {
		c.method = c.vi.member
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
	f.answer(w, r, c, rep, &rule{})
}

// streams recognizes file transfers, which are not buffered.
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

// identify finds the session that the request names.
func (f *front) identify(r *http.Request, c *call) {
	c.cookieHeader = r.Header.Get("Cookie")
	if c.envelope.method == "" {
		c.cookie = restID(r)
		c.rest = c.cookie != "" && c.vi == nil
		c.operationID = r.Header.Get("X-Request-ID")
	}
	if cookie, err := r.Cookie(soap.SessionCookieName); c.cookie == "" && c.vi == nil && err == nil {
		c.cookie = cookie.Value
	}
	if c.cookie == "" {
		c.cookie = c.envelope.cookie
	}
	c.sentCookie, c.cookie = c.cookie, keyOfCookie(c.cookie)
	if c.cookie != "" && (f.account.isSoap(c.cookie) || c.vi == nil && f.account.isRest(c.cookie)) {
		c.key = c.cookie
	}
}

// hasVi reports whether the server has VI JSON.
func (f *front) hasVi() bool { return f.isVCenter && len(f.settings.Load().releases()) > 0 }

// passKey replaces a profile's cookie with the session key, which is the cookie
// that the simulator knows.
func (c *call) passKey(r *http.Request) {
	if c.sentCookie == c.cookie {
		return
	}
	for i, value := range r.Header["Cookie"] {
		r.Header["Cookie"][i] = strings.ReplaceAll(value, c.sentCookie, c.cookie)
	}
	if c.envelope.cookie == c.sentCookie {
		c.body = slices.Concat(c.body[:c.cookieAt], []byte(c.cookie), c.body[c.cookieAt+len(c.sentCookie):])
		c.envelope.cookie = c.cookie
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	}
}

// release removes the call from the count of requests in flight. It does so
// before the reply is sent, so a client that has its reply finds the count
// settled.
func (f *front) release(c *call) {
	if !c.released {
		c.released = true
		f.stats.inFlight.Add(-1)
	}
}

// run passes the request to the simulator and records what it did to sessions.
func (f *front) run(r *http.Request, c *call) *reply {
	rep := newReply()
	defer func() {
		if p := recover(); p != nil {
			log.Printf("%s: the simulator panicked: %v\n%s", c.name(), p, debug.Stack())
			rep.status, rep.body = http.StatusInternalServerError, []byte("simulator panic\n")
		}
	}()
	switch {
	case c.envelope.method != "":
	case c.vi != nil && f.hasVi():
		f.runVi(rep, r, c)
		return rep
	default:
		f.runRest(rep, r, c)
		return rep
	}
	c.passKey(r)
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

// settle records what a successful SOAP call did to the sessions.
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
			// The simulator creates a second session; a real server
			// converts the existing one.
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

// done counts and logs the call before its reply is sent.
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
		UserAgent: r.UserAgent(), SoapAction: c.soapAction, AcceptEncoding: r.Header.Get("Accept-Encoding"),
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

// serveBy handles a request to which a rule applies. The method runs even if
// the client has disconnected, as on a real server.
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
		rep = cannedReply(rl, c)
	} else {
		rep = f.run(r, c)
	}
	f.pause(millis(rl.DelayAfterMs))
	if rl.Reset == "after" || rl.Close == "after" {
		f.cut(r, c, rl, true)
	}
	f.done(r, c, rep, rl) // before gzip hides the fault's name
	f.answer(w, r, c, rep, rl)
}

// answer sends the reply as the current profile and the rule require.
func (f *front) answer(w http.ResponseWriter, r *http.Request, c *call, rep *reply, rl *rule) {
	if rl.ContentType != "" {
		rep.header.Set("Content-Type", rl.ContentType)
	}
	how := f.settings.Load()
	m := how.profile(c, rep)
	if m != nil {
		m.adopt(c, rep, rl.canned())
	}
	rep.dress(rl)
	if m != nil && m.compresses && how.Gzip && asksForGzip(r) && rep.header.Get("Content-Encoding") == "" {
		rep.compress()
	}
	_, takenOver := w.(*exchange)
	switch {
	case rl.spoils():
		f.release(c)
		rep.spoil(w, rl, f.framing(r, c, rep, rl, m), f.rules)
	case m != nil || takenOver || rl.Chunks != "" || rl.ChunkSize > 0:
		f.answerDirectly(w, r, c, rep, rl, m)
	case rl.TruncateAt == nil && rl.Drip == nil && !rl.Chunked:
		f.release(c)
		rep.send(w)
	default:
		if !rep.sendBy(w, rl, f.pause) {
			f.cut(r, c, rl, false)
		}
	}
}

// framing determines the framing of a reply that bypasses net/http.
func (f *front) framing(r *http.Request, c *call, rep *reply, rl *rule, m *profile) framing {
	how := f.settings.Load()
	out := framing{profile: m, chunked: rl.chunks(), chunkSize: len(rep.body)/3 + 1, noBody: r.Method == http.MethodHead}
	if m != nil {
		out.chunkSize = defaultChunkSize
		if !out.chunked && rl.LengthOff == 0 {
			out.chunked = m.chunks(c, rep)
		}
	}
	switch {
	case rl.ChunkSize > 0:
		out.chunkSize = rl.ChunkSize
	case rl.Drip != nil:
		out.chunkSize = rl.Drip.Bytes
	case how.ChunkSize > 0:
		out.chunkSize = how.ChunkSize
	}
	return out
}

// answerDirectly sends a reply without net/http and serves the connection from
// then on.
func (f *front) answerDirectly(w http.ResponseWriter, r *http.Request, c *call, rep *reply, rl *rule, m *profile) {
	e, isNew, err := takeOver(w, r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if isNew {
		defer e.conn.Close()
	}
	framing := f.framing(r, c, rep, rl, m)
	framing.closes = e.closes()
	l := rep.layOut(framing)
	whole := rl.TruncateAt == nil || l.cut(*rl.TruncateAt)
	writes := f.settings.Load().Chunks
	if rl.Chunks != "" {
		writes = rl.Chunks
	}
	var pause func()
	if rl.Drip != nil {
		l.split(rl.Drip.Bytes)
		pause = func() { f.pause(millis(rl.Drip.EveryMs)) }
	} else if whole {
		f.release(c)
	}
	if err := e.send(l, writes, pause); err != nil || !whole {
		f.cut(r, c, rl, false)
	}
	e.closed = e.closed || strings.EqualFold(rep.header.Get("Connection"), "close")
	if isNew && !e.closed {
		f.release(c)
		e.serve(f)
	}
}

// cut ends the connection without a complete reply.
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
