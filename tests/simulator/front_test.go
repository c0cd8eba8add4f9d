package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/soap"
)

// BenchmarkFront shows what the front adds to the simulator's own work.
func BenchmarkFront(b *testing.B) {
	o, err := parse([]string{"-dir", b.TempDir(), "-vms", "1"})
	if err != nil {
		b.Fatal(err)
	}
	p, err := start(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		p.shutdown()
		p.wait()
	}()
	post := func(h http.Handler, body, cookie string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/sdk", strings.NewReader(body))
		r.AddCookie(&http.Cookie{Name: soap.SessionCookieName, Value: cookie})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const head = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>`
	const foot = `</e:Body></e:Envelope>`
	front := p.server.http.Handler
	post(front, head+`<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this>`+
		`<userName>user</userName><password>pass</password></Login>`+foot, "")
	key := p.account.sessions()[0].Key
	call := head + `<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>` + foot

	for name, h := range map[string]http.Handler{"with": front, "without": p.model.Service.ServeMux} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := post(h, call, key); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

// BenchmarkManySessions is a login, and a read of the counters with many
// sessions live.
func BenchmarkManySessions(b *testing.B) {
	o, err := parse([]string{"-dir", b.TempDir(), "-vms", "1"})
	if err != nil {
		b.Fatal(err)
	}
	p, err := start(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		p.shutdown()
		p.wait()
	}()
	login := func() {
		body := `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>` +
			`<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this>` +
			`<userName>user</userName><password>pass</password></Login></e:Body></e:Envelope>`
		r := httptest.NewRequest("POST", "/sdk", strings.NewReader(body))
		p.server.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 10000 {
		login()
	}
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			if n := p.report().Sessions; n != 10000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("login", func(b *testing.B) {
		for b.Loop() {
			login()
		}
	})
}
