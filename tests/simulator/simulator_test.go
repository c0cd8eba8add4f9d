package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// bench is a running program with a client for its control port.
type bench struct {
	*testing.T
	p *program
	a announcement
}

func launch(t *testing.T, args ...string) *bench {
	t.Helper()
	o, err := parse(append([]string{"-dir", t.TempDir(), "-vms", "1"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { p.wait(); close(done) }()
	t.Cleanup(func() {
		p.shutdown()
		<-done
	})
	return &bench{T: t, p: p, a: p.announcement()}
}

func (b *bench) control(method, path, body string, into any) {
	b.Helper()
	if code := b.tryControl(method, path, body, into); code != http.StatusOK {
		b.Fatalf("%s %s: %d", method, path, code)
	}
}

func (b *bench) tryControl(method, path, body string, into any) int {
	b.Helper()
	req, err := http.NewRequest(method, b.a.Control+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	data, _ := io.ReadAll(res.Body)
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			b.Fatalf("%s: %v", data, err)
		}
	}
	return res.StatusCode
}

func (b *bench) stats() report {
	b.Helper()
	var r report
	b.control("GET", "/stats", "", &r)
	return r
}

func (b *bench) rule(body string) {
	b.Helper()
	b.control("POST", "/rules", body, nil)
}

func (b *bench) soapClient() *soap.Client {
	b.Helper()
	u, err := soap.ParseURL(b.a.URL)
	if err != nil {
		b.Fatal(err)
	}
	c := soap.NewClient(u, false)
	if b.a.CAFile != "" {
		if err := c.SetRootCAs(b.a.CAFile); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

func (b *bench) client() *vim25.Client {
	b.Helper()
	c, err := vim25.NewClient(context.Background(), b.soapClient())
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func login(c *vim25.Client, user, password string) error {
	return session.NewManager(c).Login(context.Background(), url.UserPassword(user, password))
}

func (b *bench) loggedIn() *vim25.Client {
	b.Helper()
	c := b.client()
	if err := login(c, "user", "pass"); err != nil {
		b.Fatal(err)
	}
	return c
}

func currentTime(c *vim25.Client) error {
	_, err := methods.GetCurrentTime(context.Background(), c)
	return err
}

func logout(c *vim25.Client) error {
	_, err := methods.Logout(context.Background(), c, &types.Logout{This: *c.ServiceContent.SessionManager})
	return err
}

// faultOf names the vim25 fault in an error.
func faultOf(err error) string {
	if !soap.IsSoapFault(err) {
		return ""
	}
	name := strings.TrimPrefix(typeName(soap.ToSoapFault(err).VimFault()), "types.")
	return name
}

func (b *bench) wantFault(err error, name string) {
	b.Helper()
	if got := faultOf(err); got != name {
		b.Fatalf("want fault %s, got %q (%v)", name, got, err)
	}
}

func (b *bench) want(what string, got, want any) {
	b.Helper()
	if got != want {
		b.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func TestCredentialsAndCounting(t *testing.T) {
	for _, mode := range []string{"vpx", "esx"} {
		for _, tls := range []string{"true", "false"} {
			t.Run(mode+" tls="+tls, func(t *testing.T) {
				b := launch(t, "-mode", mode, "-tls="+tls)
				c := b.client()
				b.wantFault(login(c, "user", "wrong"), "InvalidLogin")
				b.wantFault(login(c, "other", "pass"), "InvalidLogin")
				b.ok(login(c, "user", "pass"))
				b.ok(currentTime(c))
				s := b.stats()
				b.want("logins", s.Logins, int64(1))
				b.want("login_failures", s.LoginFailures, int64(2))
				b.want("sessions", s.Sessions, 1)
				b.want("Login calls", s.Calls["Login"], int64(3))
				b.want("InvalidLogin faults", s.Faults["InvalidLogin"], int64(2))
				b.want("in flight", s.InFlight, int64(0))

				b.control("POST", "/credentials", `{"user":"user","password":"new"}`, nil)
				d := b.client()
				b.wantFault(login(d, "user", "pass"), "InvalidLogin")
				b.ok(login(d, "user", "new"))
				b.ok(currentTime(c)) // the old session lives on

				b.control("POST", "/stats/reset", "", nil)
				b.want("sessions after reset", b.stats().Sessions, 2)
				b.ok(logout(c))
				b.ok(logout(d))
				s = b.stats()
				b.want("logouts", s.Logouts, int64(2))
				b.want("sessions", s.Sessions, 0)
				b.wantFault(currentTime(c), "NotAuthenticated")
			})
		}
	}
}

func TestConcurrentLogins(t *testing.T) {
	b := launch(t)
	const clients = 64
	var all [clients]*vim25.Client
	var wg sync.WaitGroup
	each := func(f func(int)) {
		for i := range all {
			wg.Add(1)
			go func() { defer wg.Done(); f(i) }()
		}
		wg.Wait()
	}
	each(func(i int) {
		c, err := vim25.NewClient(context.Background(), b.soapClient())
		if err == nil {
			err = login(c, "user", "pass")
		}
		if err != nil {
			t.Error(err)
		}
		all[i] = c
	})
	if t.Failed() {
		return
	}
	s := b.stats()
	b.want("logins", s.Logins, int64(clients))
	b.want("sessions", s.Sessions, clients)

	// Half of them log out while other requests of theirs are under way, which must not revive a session.
	each(func(i int) {
		var calls sync.WaitGroup
		for range 4 {
			calls.Add(1)
			go func() { defer calls.Done(); _ = currentTime(all[i]) }()
		}
		if i%2 == 0 {
			if err := logout(all[i]); err != nil {
				t.Error(err)
			}
		}
		calls.Wait()
	})
	s = b.stats()
	b.want("sessions", s.Sessions, clients/2)
	b.want("logouts", s.Logouts, int64(clients/2))
	b.want("killed", b.killed(""), clients/2)
	b.want("sessions", b.stats().Sessions, 0)
	each(func(i int) {
		if got := faultOf(currentTime(all[i])); got != "NotAuthenticated" {
			t.Errorf("client %d: %q", i, got)
		}
	})
}

func (b *bench) killed(query string) int {
	b.Helper()
	var res struct{ Killed int }
	b.control("POST", "/sessions/kill"+query, "", &res)
	return res.Killed
}

func TestKill(t *testing.T) {
	b := launch(t)
	c, d := b.loggedIn(), b.loggedIn()
	var list []liveSession
	b.control("GET", "/sessions", "", &list)
	b.want("sessions", len(list), 2)
	b.want("user", list[0].User, "user")
	b.want("killed", b.killed("?key="+list[0].Key), 1)
	b.want("killed", b.killed("?key="+list[0].Key), 0)
	b.wantFault(currentTime(c), "NotAuthenticated")
	b.ok(currentTime(d))
	b.want("sessions", b.stats().Sessions, 1)
	b.ok(login(c, "user", "pass")) // with the dead cookie still in the jar
	b.want("sessions", b.stats().Sessions, 2)
}

func TestCloneTicketIsNoSession(t *testing.T) {
	b := launch(t)
	ctx := context.Background()
	c := b.loggedIn()
	m := session.NewManager(c)
	ticket, err := m.AcquireCloneTicket(ctx)
	b.ok(err)
	s := b.stats()
	b.want("sessions", s.Sessions, 1)
	b.want("tickets", s.CloneTickets, 1)
	d := b.client()
	b.ok(session.NewManager(d).CloneSession(ctx, ticket))
	b.ok(currentTime(d))
	s = b.stats()
	b.want("sessions", s.Sessions, 2)
	b.want("logins", s.Logins, int64(2))
	b.want("tickets", s.CloneTickets, 0)

	ticket, err = m.AcquireCloneTicket(ctx)
	b.ok(err)
	b.ok(logout(c))
	b.wantFault(session.NewManager(b.client()).CloneSession(ctx, ticket), "InvalidLogin")

	// TerminateSession by another client counts, too.
	c = b.loggedIn()
	us, err := session.NewManager(d).UserSession(ctx)
	b.ok(err)
	b.ok(session.NewManager(c).TerminateSession(ctx, []string{us.Key}))
	b.wantFault(currentTime(d), "NotAuthenticated")
	b.want("sessions", b.stats().Sessions, 1)
}

func TestIdleTimeout(t *testing.T) {
	b := launch(t, "-session-timeout", "2s")
	c, busy := b.loggedIn(), b.loggedIn()
	b.eventually("the one that idles ends", func() bool {
		b.ok(currentTime(busy))
		return b.stats().Expired == 1
	})
	b.want("sessions", b.stats().Sessions, 1)
	b.wantFault(currentTime(c), "NotAuthenticated")
	b.ok(currentTime(busy))
	b.control("POST", "/session-timeout", `{"timeout":"0"}`, nil)
	time.Sleep(2500 * time.Millisecond)
	b.ok(currentTime(busy))
}

func TestLog(t *testing.T) {
	b := launch(t)
	c := b.loggedIn()
	ctx := context.WithValue(context.Background(), types.ID{}, "op-7")
	_, err := methods.GetCurrentTime(ctx, c)
	b.ok(err)
	b.killed("")
	_ = currentTime(c)
	var log []entry
	b.control("GET", "/log", "", &log)
	var got []string
	for i, e := range log {
		got = append(got, e.Method+" "+e.Result)
		if e.Seq != int64(i+1) || e.EndNs < e.StartNs || e.Connection == 0 {
			t.Errorf("bad entry %+v", e)
		}
	}
	b.want("log", strings.Join(got, ", "),
		"RetrieveServiceContent ok, Login ok, CurrentTime ok, CurrentTime NotAuthenticated")
	b.want("operation id", log[2].OperationID, "op-7")
	b.want("session", log[2].SessionKey, log[1].NewSessionKey)
	b.want("session of a dead cookie", log[3].SessionKey, "")
	b.want("dead cookie", log[3].Cookie, log[1].NewSessionKey)
	if log[2].SoapAction == "" || log[2].UserAgent == "" {
		t.Errorf("bad entry %+v", log[2])
	}
	b.control("GET", "/log?since=3", "", &log)
	b.want("since", len(log), 1)
	b.control("POST", "/log/reset", "", nil)
	b.control("GET", "/log", "", &log)
	b.want("after reset", len(log), 0)
}

func TestJournalRing(t *testing.T) {
	j := &journal{max: 3}
	for range 5 {
		j.add(entry{})
	}
	var got []int64
	for _, e := range j.since(0) {
		got = append(got, e.Seq)
	}
	if len(got) != 3 || got[0] != 3 || got[2] != 5 {
		t.Fatal(got)
	}
}

// raw posts a CurrentTime call with the session of c, over a plain HTTP client.
func (b *bench) raw(c *http.Client, cookie string) (*http.Response, []byte, error) {
	const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>` +
		`<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime></e:Body></e:Envelope>`
	req, err := http.NewRequest("POST", b.a.URL, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "text/xml")
	req.AddCookie(&http.Cookie{Name: soap.SessionCookieName, Value: cookie})
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, data, err
}

func (b *bench) session() string {
	b.Helper()
	b.loggedIn()
	list := b.p.account.sessions()
	return list[len(list)-1].Key
}

func plain() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
	}}
}

func TestRules(t *testing.T) {
	b := launch(t)
	key := b.session()
	h := plain()
	call := func(rule string) (*http.Response, []byte, error) {
		t.Helper()
		b.control("DELETE", "/rules", "", nil)
		b.control("POST", "/stats/reset", "", nil)
		b.rule(rule)
		return b.raw(h, key)
	}
	good := func(data []byte) bool { return bytes.HasSuffix(data, []byte("</soapenv:Envelope>")) }

	t.Run("fault", func(t *testing.T) {
		c := b.loggedIn()
		for _, name := range []string{"NotAuthenticated", "NoPermission", "InvalidLogin", "NotFound", "SSPIChallenge"} {
			b.rule(`{"method":"CurrentTime","times":1,"fault":"` + name + `","fault_message":"a < b"}`)
			err := currentTime(c)
			b.wantFault(err, name)
			b.want("message", soap.ToSoapFault(err).String, "a < b")
		}
		b.ok(currentTime(c))
		b.rule(`{"method":"CurrentTime","times":1,"fault_xml":"<XFault xmlns=\"urn:vim25\" xsi:type=\"Unheard\"/>"}`)
		_, data, err := b.raw(h, key)
		b.ok(err)
		b.want("fault", faultName(data), "Unheard")
	})
	t.Run("same as the simulator's own", func(t *testing.T) {
		_, want, err := b.raw(h, "no such session")
		b.ok(err)
		_, got, err := call(`{"method":"CurrentTime","fault":"NotAuthenticated"}`)
		b.ok(err)
		b.want("body", string(got), string(want))
	})
	t.Run("times, skip, probability", func(t *testing.T) {
		res, _, err := call(`{"method":"*","times":1,"skip":1,"status":503,"headers":{"Retry-After":"7"},"content_type":"text/plain","body":"busy"}`)
		b.ok(err)
		b.want("skipped", res.StatusCode, 200)
		res, data, err := b.raw(h, key)
		b.ok(err)
		b.want("applied", res.StatusCode, 503)
		b.want("header", res.Header.Get("Retry-After"), "7")
		b.want("type", res.Header.Get("Content-Type"), "text/plain")
		b.want("body", string(data), "busy")
		res, _, err = b.raw(h, key)
		b.ok(err)
		b.want("used up", res.StatusCode, 200)
		res, _, err = call(`{"method":"*","probability":0,"status":503}`)
		b.ok(err)
		b.want("never", res.StatusCode, 200)
		b.want("hits", b.stats().RuleHits, int64(0))
	})
	t.Run("path and other methods", func(t *testing.T) {
		b.control("DELETE", "/rules", "", nil)
		b.rule(`{"method":"GET","path":"/sdk/*","status":404}`)
		res, err := h.Get("https://" + b.a.Host + "/sdk/vimServiceVersions.xml")
		b.ok(err)
		res.Body.Close()
		b.want("versions", res.StatusCode, 404)
		b.ok(currentTime(b.loggedIn()))
		res, _, err = call(`{"session_key":"other","status":404}`)
		b.ok(err)
		b.want("other session", res.StatusCode, 200)
	})
	t.Run("SOAPAction", func(t *testing.T) {
		for rule, want := range map[string]int{
			`{"method":"*","soap_action":"urn:vim25/6.5","status":404}`:  404,
			`{"method":"*","soap_action":"!urn:vim25/6.5","status":404}`: 200,
			`{"method":"*","soap_action":"!urn:vim25/7.0","status":404}`: 404,
		} {
			b.control("DELETE", "/rules", "", nil)
			b.rule(rule)
			req, err := http.NewRequest("POST", b.a.URL, strings.NewReader(`<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime></Body></Envelope>`))
			b.ok(err)
			req.Header.Set("SOAPAction", `"urn:vim25/6.5"`)
			req.AddCookie(&http.Cookie{Name: "vmware_soap_session", Value: key})
			res, err := h.Do(req)
			b.ok(err)
			res.Body.Close()
			b.want(rule, res.StatusCode, want)
		}
	})
	t.Run("delay", func(t *testing.T) {
		for _, when := range []string{"delay_ms", "delay_after_ms"} {
			begun := time.Now()
			_, data, err := call(`{"method":"CurrentTime","` + when + `":150}`)
			b.ok(err)
			if d := time.Since(begun); d < 150*time.Millisecond || !good(data) {
				t.Errorf("%s: %v", when, d)
			}
		}
	})
	t.Run("big body", func(t *testing.T) {
		_, data, err := call(`{"method":"CurrentTime","body":"<a>","body_repeat":3000000}`)
		b.ok(err)
		b.want("length", len(data), 3000003)
	})
	t.Run("chunked", func(t *testing.T) {
		res, data, err := call(`{"method":"CurrentTime","chunked":true}`)
		b.ok(err)
		b.want("length", res.ContentLength, int64(-1))
		b.want("complete", good(data), true)
	})
	t.Run("gzip", func(t *testing.T) {
		res, data, err := call(`{"method":"CurrentTime","gzip":true,"set_cookie":"a=b"}`)
		b.ok(err)
		b.want("encoding", res.Header.Get("Content-Encoding"), "gzip")
		b.want("magic", string(data[:2]), "\x1f\x8b")
		b.want("cookie", res.Header.Get("Set-Cookie"), "a=b")
	})
	t.Run("truncate", func(t *testing.T) {
		for _, at := range []string{"0", "20"} {
			for _, abrupt := range []string{"true", "false"} {
				res, data, err := call(`{"method":"CurrentTime","truncate_at":` + at + `,"abrupt":` + abrupt + `}`)
				_ = res
				if !errors.Is(err, io.ErrUnexpectedEOF) || len(data) > 20 {
					t.Errorf("at %s: %q %v", at, data, err)
				}
			}
		}
	})
	t.Run("drip", func(t *testing.T) {
		begun := time.Now()
		_, data, err := call(`{"method":"CurrentTime","body":"12345","drip":{"bytes":1,"every_ms":30}}`)
		b.ok(err)
		b.want("body", string(data), "12345")
		if d := time.Since(begun); d < 120*time.Millisecond {
			t.Error(d)
		}
	})
	t.Run("reset and close", func(t *testing.T) {
		for _, when := range []string{"before", "after"} {
			for _, how := range []string{"reset", "close"} {
				_, _, err := call(`{"method":"CurrentTime","` + how + `":"` + when + `"}`)
				if err == nil {
					t.Fatalf("%s %s: no error", how, when)
				}
				if reset := strings.Contains(err.Error(), "reset by peer"); reset != (how == "reset") {
					t.Errorf("%s %s: %v", how, when, err)
				}
			}
		}
		var log []entry
		b.control("GET", "/log", "", &log)
		b.want("result", log[len(log)-1].Result, "close")
	})
	t.Run("reset after a login leaves its session", func(t *testing.T) {
		b.control("DELETE", "/rules", "", nil)
		c := b.client()
		n := b.stats().Sessions
		b.rule(`{"method":"Login","times":1,"reset":"after"}`)
		if login(c, "user", "pass") == nil {
			t.Error("no error")
		}
		b.want("sessions", b.stats().Sessions, n+1)
		b.rule(`{"method":"Login","times":1,"reset":"before"}`)
		if login(c, "user", "pass") == nil {
			t.Error("no error")
		}
		b.want("sessions", b.stats().Sessions, n+1)
	})
	t.Run("hang", func(t *testing.T) {
		impatient := plain()
		impatient.Timeout = 150 * time.Millisecond
		b.control("DELETE", "/rules", "", nil)
		b.rule(`{"method":"CurrentTime","hang":true}`)
		if _, _, err := b.raw(impatient, key); err == nil {
			t.Error("no error")
		}
		b.eventually("the hanging request notices that its client left", func() bool { return b.stats().InFlight == 0 })
	})
	t.Run("list and delete", func(t *testing.T) {
		b.control("DELETE", "/rules", "", nil)
		var added struct{ ID int }
		b.control("POST", "/rules", `{"method":"Login","status":503}`, &added)
		var rules []rule
		b.control("GET", "/rules", "", &rules)
		b.want("rules", len(rules), 1)
		b.want("id", rules[0].ID, added.ID)
		b.control("DELETE", "/rules/"+itoa(added.ID), "", nil)
		b.want("gone", b.tryControl("DELETE", "/rules/"+itoa(added.ID), "", nil), 404)
		for _, bad := range []string{
			`{}`, `{"method":"Login","falt":"NotFound"}`, `{"method":"Login","fault":"NoSuchFault"}`,
			`{"method":"Login","reset":"now"}`, `{"method":"Login","probability":2}`,
		} {
			b.want(bad, b.tryControl("POST", "/rules", bad, nil), 400)
		}
	})
}

func TestListenerAndConnections(t *testing.T) {
	b := launch(t)
	c := b.loggedIn()
	h := plain()
	key := b.p.account.sessions()[0].Key
	_, _, err := b.raw(h, key)
	b.ok(err)
	b.want("open", b.stats().Open, 2)

	b.control("POST", "/listener/stop", "", nil)
	if conn, err := net.Dial("tcp", b.a.Host); err == nil {
		conn.Close()
		t.Fatal("the stopped listener accepts")
	}
	b.ok(currentTime(c)) // an open connection lives on
	var res struct{ Closed int }
	b.control("POST", "/connections/close?reset", "", &res)
	b.want("closed", res.Closed, 2)
	if currentTime(c) == nil {
		t.Fatal("no error from a server that is away")
	}
	b.control("POST", "/listener/start", "", nil)
	b.control("POST", "/listener/start", "", nil) // harmless
	b.ok(currentTime(c))                          // the session is still there

	b.control("POST", "/connections/limit", `{"max":1}`, nil)
	if _, _, err := b.raw(plain(), key); err == nil {
		t.Fatal("a connection beyond the limit")
	}
	b.control("POST", "/connections/limit", `{"max":0}`, nil)
	_, _, err = b.raw(plain(), key)
	b.ok(err)
}

func TestCertificate(t *testing.T) {
	b := launch(t)
	pin := func() *http.Client {
		return plain()
	}
	print := func(h *http.Client) string {
		res, _, err := b.raw(h, "")
		b.ok(err)
		return soap.ThumbprintSHA256(res.TLS.PeerCertificates[0])
	}
	b.want("thumbprint", print(pin()), b.a.SHA256)
	var prints thumbprints
	b.control("POST", "/certificate/rotate", "", &prints)
	if prints.SHA256 == b.a.SHA256 {
		t.Fatal("the same certificate")
	}
	b.want("thumbprint", print(pin()), prints.SHA256)
	b.client() // trusted: the authority is the same
	old := b.soapClient()
	b.control("POST", "/certificate/rotate", `{"new_ca":true}`, nil)
	if _, err := vim25.NewClient(context.Background(), old); err == nil {
		t.Error("the old authority is trusted")
	}
	b.client()
	b.control("POST", "/certificate/rotate", `{"hosts":["other.example"]}`, nil)
	if _, err := vim25.NewClient(context.Background(), b.soapClient()); err == nil {
		t.Error("wrong host accepted")
	}
	b.control("POST", "/certificate/rotate", `{"expired":true}`, nil)
	if _, err := vim25.NewClient(context.Background(), b.soapClient()); err == nil {
		t.Error("expired certificate accepted")
	}
	b.control("POST", "/certificate/rotate", `{"self_signed":true}`, nil)
	b.client()
}
