package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
)

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
