package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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

// patience is how long a test waits for what must happen, however slow the machine.
const patience = time.Minute

// eventually waits until a condition holds.
func (b *bench) eventually(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func typeName(v any) string { return fmt.Sprintf("%T", v) }
