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
	b := launch(t, "-endpoints", "all", "-rest", "separate")
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

// answer is what a request got.
type restAnswer struct {
	status int
	header http.Header
	body   string
}

// rest sends a request with a session id, or with credentials if the id is "basic".
func (b *bench) rest(method, path, id, body string) restAnswer {
	b.Helper()
	req, err := http.NewRequest(method, "https://"+b.a.Host+path, strings.NewReader(body))
	b.ok(err)
	if id == "basic" {
		req.SetBasicAuth("user", "pass")
	} else if id != "" {
		req.Header.Set(restSessionHeader, id)
	}
	res, err := plain().Do(req)
	b.ok(err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	b.ok(err)
	return restAnswer{res.StatusCode, res.Header, string(data)}
}

func (b *bench) restLogin(path string) string {
	b.Helper()
	a := b.rest("POST", path, "basic", "")
	b.want("login", a.status, 201)
	var id string
	b.ok(json.Unmarshal([]byte(a.body), &id))
	return id
}

func (b *bench) wantError(a restAnswer, status int, kind, id string) {
	b.Helper()
	var e struct {
		Kind     string `json:"error_type"`
		Type     string
		Messages []struct{ ID string }
		Value    struct{ Messages []struct{ ID string } }
	}
	b.ok(json.Unmarshal([]byte(a.body), &e))
	if e.Kind == "" {
		e.Kind, e.Messages = e.Type, e.Value.Messages
	}
	b.want("status", a.status, status)
	b.want("type", e.Kind, kind)
	b.want("messages", len(e.Messages), 1)
	b.want("id", e.Messages[0].ID, id)
	b.want("content type", a.header.Get("Content-Type"), "application/json")
}

const authenticationRequired = "com.vmware.vapi.endpoint.method.authentication.required"

func TestApiSession(t *testing.T) {
	b := launch(t, "-endpoints", "all", "-rest", "separate")
	b.want("no credentials", b.rest("POST", apiSessionPath, "", "").status, 401)
	id := b.restLogin(apiSessionPath)
	a := b.rest("GET", apiSessionPath, id, "")
	b.want("info", a.status, 200)
	if !strings.Contains(a.body, `"user":"user"`) {
		t.Error(a.body)
	}
	b.want("sessions", b.stats().RestSessions, 1)
	a = b.rest("DELETE", apiSessionPath, id, "")
	b.want("logout", a.status, 204)
	b.want("empty", a.body, "")
	b.want("info", b.rest("GET", apiSessionPath, id, "").status, 401)
	s := b.stats()
	b.want("sessions", s.RestSessions, 0)
	b.want("logins", s.Logins, int64(1))
	b.want("logouts", s.Logouts, int64(1))
}

func TestRestErrorsHaveTheBodiesOfAVCenter(t *testing.T) {
	b := launch(t, "-endpoints", "all", "-rest", "separate")
	a := b.rest("GET", apiSessionPath, "", "")
	b.wantError(a, 401, "UNAUTHENTICATED", authenticationRequired)
	if !strings.Contains(a.body, `"challenge":"Basic realm=`) {
		t.Error(a.body)
	}
	b.wantError(b.rest("DELETE", apiSessionPath, "dead", ""), 401, "UNAUTHENTICATED", authenticationRequired)
	b.wantError(b.rest("POST", restSessionPath, "", ""), 401, "com.vmware.vapi.std.errors.unauthenticated", authenticationRequired)
	b.wantError(b.rest("GET", machinesPath, "dead", ""), 401, "UNAUTHENTICATED", authenticationRequired)
	// Authentication is checked after routing.
	b.wantError(b.rest("GET", "/api/none", "", ""), 404, "NOT_FOUND", "com.vmware.vapi.rest.httpNotFound")
	b.wantError(b.rest("GET", "/rest/none", "", ""), 404, "com.vmware.vapi.std.errors.not_found", "com.vmware.vapi.rest.httpNotFound")
	id := b.restLogin(apiSessionPath)
	b.wantError(b.rest("GET", machinesPath+"/none", id, ""), 404, "NOT_FOUND", "com.vmware.api.vcenter.vm.not_found")
}

func TestMachinesAreARestResource(t *testing.T) {
	b := launch(t, "-endpoints", "all", "-rest", "separate")
	id := b.restLogin(apiSessionPath)
	var all []map[string]any
	b.ok(json.Unmarshal([]byte(b.rest("GET", machinesPath, id, "").body), &all))
	b.want("machines", len(all), 1)
	var one map[string]any
	b.ok(json.Unmarshal([]byte(b.rest("GET", machinesPath+"/"+all[0]["vm"].(string), id, "").body), &one))
	b.want("name", one["name"], all[0]["name"])
	b.want("power", one["power_state"], "POWERED_ON")
}

func TestOneSessionServesBothProtocolsFrom803On(t *testing.T) {
	for _, like := range []string{"8.0.3", "9.0.1"} {
		t.Run(like, func(t *testing.T) {
			b := launch(t, "-endpoints", "all", "-like", like)
			c := b.loggedIn()
			cookie := strings.Trim(c.SessionCookie().Value, `"`)
			b.want("digits", len(cookie), 40)
			b.want("info", b.rest("GET", apiSessionPath, cookie, "").status, 200)
			b.want("machines", b.rest("GET", machinesPath, cookie, "").status, 200)
			b.want("the simulator's own", b.rest("GET", "/rest/com/vmware/cis/tagging/category", cookie, "").status, 200)
			b.want("sessions", b.stats().Sessions, 1)
			b.want("soap sessions", b.stats().SoapSessions, 1)
			b.want("logout by REST", b.rest("DELETE", apiSessionPath, cookie, "").status, 204)
			b.wantFault(currentTime(c), "NotAuthenticated")
			b.want("sessions", b.stats().Sessions, 0)

			// The other way round: a REST login makes a session that SOAP accepts.
			id := b.restLogin(apiSessionPath)
			b.want("digits", len(id), 40)
			res, _, err := b.raw(plain(), id)
			b.ok(err)
			b.want("SOAP", res.StatusCode, 200)
			b.want("sessions", b.stats().Sessions, 1)
			b.want("killed", b.killed(""), 1)
			b.wantError(b.rest("GET", machinesPath, id, ""), 401, "UNAUTHENTICATED", authenticationRequired)
			b.want("wrong password", b.rest("POST", apiSessionPath, "", "").status, 401)
			b.want("login failures", b.stats().LoginFailures, int64(1))

			// By the older path, too.
			var legacy struct{ Value string }
			b.ok(json.Unmarshal([]byte(b.rest("POST", restSessionPath, "basic", "").body), &legacy))
			b.want("info", b.rest("GET", apiSessionPath, legacy.Value, "").status, 200)
			b.want("logout", b.rest("DELETE", restSessionPath, legacy.Value, "").status, 200)
			b.want("sessions", b.stats().Sessions, 0)
		})
	}
}

func TestRestAsTheFlagSays(t *testing.T) {
	// Current, but with sessions of its own for REST.
	b := launch(t, "-endpoints", "all", "-like", "8.0.3", "-rest", "separate")
	b.want("version", b.client().ServiceContent.About.Version, "8.0.3")
	cookie := strings.Trim(b.loggedIn().SessionCookie().Value, `"`)
	b.want("info", b.rest("GET", apiSessionPath, cookie, "").status, 401)
	b.want("the session", b.stats().SoapSessions, 1)

	b = launch(t, "-endpoints", "all", "-like", "6.7")
	b.want("version", b.client().ServiceContent.About.Version, "6.7.0")
	b.wantError(b.rest("POST", apiSessionPath, "basic", ""), 404, "NOT_FOUND", "com.vmware.vapi.rest.httpNotFound")
	b.want("legacy", b.rest("POST", restSessionPath, "basic", "").status, 200)
	b.control("POST", "/profile", `{"rest":"none"}`, nil)
	b.want("none", b.rest("POST", restSessionPath, "basic", "").status, 404)
	b.want("unknown", b.tryControl("POST", "/profile", `{"rest":"other"}`, nil), 400)
}

func TestRestSessionsEndAtTheEndOfTheirLife(t *testing.T) {
	b := launch(t, "-endpoints", "all", "-rest", "separate")
	b.loggedIn()
	b.restLogin(apiSessionPath)
	b.control("POST", "/session-life", `{"life":"50ms"}`, nil)
	b.eventually("the REST session ends", func() bool { return b.stats().RestSessions == 0 })
	b.want("expired", b.stats().Expired, int64(1))
	b.want("the vim25 session", b.stats().SoapSessions, 1)
	b.control("POST", "/profile", `{"rest":"unified"}`, nil)
	b.eventually("the session for both ends", func() bool { return b.stats().Sessions == 0 })
	b.want("not a duration", b.tryControl("POST", "/session-life", `{"life":"long"}`, nil), 400)
}

func TestRulesApplyToRest(t *testing.T) {
	b := launch(t, "-endpoints", "all", "-rest", "separate")
	b.rule(`{"path":"/api/session","method":"POST","times":1,"status":503,"headers":{"Retry-After":"1"}}`)
	a := b.rest("POST", apiSessionPath, "basic", "")
	b.want("status", a.status, 503)
	b.want("header", a.header.Get("Retry-After"), "1")
	id := b.restLogin(apiSessionPath)
	b.rule(`{"path":"/api/*","times":1,"delay_ms":100,"status":400,"content_type":"application/json","body":"{}"}`)
	b.want("canned", b.rest("GET", machinesPath, id, "").body, "{}")
	b.want("after it", b.rest("GET", machinesPath, id, "").status, 200)
	b.want("calls", b.stats().Calls["GET "+machinesPath], int64(2))
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
