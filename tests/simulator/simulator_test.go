package main

import (
	"context"
	"net"
	"net/http"
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

func TestCloneTicketIsNotASession(t *testing.T) {
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
