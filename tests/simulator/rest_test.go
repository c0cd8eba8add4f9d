package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi/rest"
)

func TestRestSessions(t *testing.T) {
	b := launch(t, "-endpoints", "all")
	ctx := context.Background()
	c := rest.NewClient(b.loggedIn())
	if err := c.Login(ctx, url.UserPassword("user", "wrong")); err == nil {
		t.Fatal("wrong password accepted")
	}
	b.ok(c.Login(ctx, url.UserPassword("user", "pass")))
	s := b.stats()
	b.want("sessions", s.Sessions, 2)
	b.want("rest sessions", s.RestSessions, 1)
	b.want("login failures", s.LoginFailures, int64(1))
	b.want("logins", s.Logins, int64(2))
	info, err := c.Session(ctx)
	b.ok(err)
	b.want("user", info.User, "user")
	b.want("logins by a probe", b.stats().Logins, int64(2))

	b.want("killed", b.killed(""), 2)
	info, err = c.Session(ctx)
	b.ok(err)
	if info != nil {
		t.Fatal("the killed session is alive")
	}
	b.ok(c.Login(ctx, url.UserPassword("user", "pass")))
	b.ok(c.Logout(ctx))
	s = b.stats()
	b.want("rest sessions", s.RestSessions, 0)
	b.want("logouts", s.Logouts, int64(1))

	b.ok(c.Login(ctx, url.UserPassword("user", "pass")))
	b.control("POST", "/session-timeout", `{"timeout":"100ms"}`, nil)
	b.eventually("the session ends", func() bool { return b.stats().RestSessions == 0 })
}

func TestApiSession(t *testing.T) {
	b := launch(t, "-endpoints", "all")
	h := plain()
	do := func(method, id string, basic bool) (int, string) {
		req, err := http.NewRequest(method, "https://"+b.a.Host+apiSessionPath, nil)
		b.ok(err)
		if basic {
			req.SetBasicAuth("user", "pass")
		}
		if id != "" {
			req.Header.Set(restSessionHeader, id)
		}
		res, err := h.Do(req)
		b.ok(err)
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		b.ok(err)
		return res.StatusCode, string(data)
	}
	code, _ := do("POST", "", false)
	b.want("no credentials", code, 401)
	code, data := do("POST", "", true)
	b.want("login", code, 201)
	var id string
	b.ok(json.Unmarshal([]byte(data), &id))
	code, data = do("GET", id, false)
	b.want("info", code, 200)
	if !strings.Contains(data, `"user":"user"`) {
		t.Error(data)
	}
	b.want("sessions", b.stats().RestSessions, 1)
	code, data = do("DELETE", id, false)
	b.want("logout", code, 204)
	b.want("empty", data, "")
	code, _ = do("GET", id, false)
	b.want("info", code, 401)
	s := b.stats()
	b.want("sessions", s.RestSessions, 0)
	b.want("logins", s.Logins, int64(1))
	b.want("logouts", s.Logouts, int64(1))
}

func TestStsEndpoint(t *testing.T) {
	b := launch(t, "-endpoints", "all")
	ctx := context.Background()
	c := b.client()
	s, err := sts.NewClient(ctx, c)
	b.ok(err)
	_, err = s.Issue(ctx, sts.TokenRequest{Userinfo: url.UserPassword("user", "pass")})
	b.ok(err)
}
