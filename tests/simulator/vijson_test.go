package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const release = "/sdk/vim25/8.0.2.0/"

func (b *bench) viLogin() string {
	b.Helper()
	a := b.rest("POST", release+"SessionManager/SessionManager/Login", "", `{"_typeName":"Login","userName":"user","password":"pass"}`)
	b.want("login", a.status, 200)
	id := a.header.Get(restSessionHeader)
	if id == "" || a.header.Get("Set-Cookie") != "" || !strings.Contains(a.body, `"_typeName":"UserSession"`) {
		b.Fatal(a)
	}
	return id
}

// typeOf is the _typeName of a document.
func (b *bench) typeOf(a restAnswer) string {
	b.Helper()
	var typed struct {
		Name string `json:"_typeName"`
	}
	b.ok(json.Unmarshal([]byte(a.body), &typed))
	return typed.Name
}

// govmomi's own client is the judge of the shapes.
func TestGovmomiSpeaksViJson(t *testing.T) {
	for _, like := range []string{"plain", "8.0.3", "9.0.1"} {
		t.Run(like, func(t *testing.T) {
			b := launch(t, "-like", like)
			ctx := context.Background()
			sc := b.soapClient()
			c, err := vim25.NewClient(ctx, sc)
			b.ok(err)
			sc = c.Client
			sc.Version = "8.0.2.0"
			sc.UseJSON(true)
			m := session.NewManager(c)
			b.wantFault(m.Login(ctx, url.UserPassword("user", "wrong")), "InvalidLogin")
			b.ok(m.Login(ctx, url.UserPassword("user", "pass")))
			b.want("login failures", b.stats().LoginFailures, int64(1))
			b.want("logins", b.stats().LoginsBy["Login"], int64(1))
			b.ok(currentTime(c))
			var sm mo.SessionManager
			b.ok(property.DefaultCollector(c).RetrieveOne(ctx, *c.ServiceContent.SessionManager, []string{"currentSession"}, &sm))
			b.want("user", sm.CurrentSession.UserName, "user")
			b.want("killed", b.killed(""), 1)
			b.wantFault(currentTime(c), "NotAuthenticated")
			b.ok(m.Login(ctx, url.UserPassword("user", "pass")))
			b.ok(m.Logout(ctx))
			b.want("logouts", b.stats().Logouts, int64(1))
			b.want("sessions", b.stats().Sessions, 0)
		})
	}
}

func TestViJsonMethodsAndProperties(t *testing.T) {
	b := launch(t)
	content := b.rest("GET", release+"ServiceInstance/ServiceInstance/content", "", "")
	b.want("content needs no session", content.status, 200)
	b.want("type", b.typeOf(content), "ServiceContent")
	a := b.rest("GET", release+"SessionManager/SessionManager/currentSession", "", "")
	b.want("another property needs one", a.status, 500)
	b.want("type", b.typeOf(a), "NotAuthenticated")

	id := b.viLogin()
	a = b.rest("GET", release+"SessionManager/SessionManager/currentSession", id, "")
	b.want("type", b.typeOf(a), "UserSession")
	b.want("a string", b.rest("GET", release+"Folder/group-d1/name", id, "").body, `"Datacenters"`)
	a = b.rest("GET", release+"Folder/group-d1/childEntity", id, "")
	var children []types.ManagedObjectReference
	b.ok(json.Unmarshal([]byte(a.body), &children))
	b.want("an array", children[0].Type, "Datacenter")
	b.want("no such property", b.typeOf(b.rest("GET", release+"Folder/group-d1/none", id, "")), "InvalidProperty")
	b.want("no such object", b.typeOf(b.rest("GET", release+"Folder/group-d9999/name", id, "")), "ManagedObjectNotFound")
	b.want("no such method", b.rest("POST", release+"Folder/group-d1/None", id, "").status, 404)
	b.want("no such release", b.rest("GET", "/sdk/vim25/1.2.3.4/Folder/group-d1/name", id, "").status, 404)
	b.want("not JSON", b.typeOf(b.rest("POST", release+"SessionManager/SessionManager/Login", id, `{`)), "InvalidRequest")
	time := b.rest("POST", release+"ServiceInstance/ServiceInstance/CurrentTime", id, "")
	b.want("a primitive value has no box", strings.HasPrefix(time.body, `"20`), true)
	logout := b.rest("POST", release+"SessionManager/SessionManager/Logout", id, "")
	b.want("no value", logout.status, 204)
	b.want("sessions", b.stats().Sessions, 0)
}

func TestTheIdOfViJsonIsTheCookie(t *testing.T) {
	b := launch(t, "-like", "8.0.3", "-endpoints", "all")
	id := b.viLogin()
	b.want("digits", len(id), 40)
	res, _, err := b.raw(plain(), id)
	b.ok(err)
	b.want("SOAP", res.StatusCode, 200)
	b.want("REST", b.rest("GET", apiSessionPath, id, "").status, 200)
	cookie := strings.Trim(b.loggedIn().SessionCookie().Value, `"`)
	b.want("VI JSON", b.rest("POST", release+"ServiceInstance/ServiceInstance/CurrentTime", cookie, "").status, 200)
}

func TestRulesApplyToViJson(t *testing.T) {
	b := launch(t)
	id := b.viLogin()
	path := release + "ServiceInstance/ServiceInstance/CurrentTime"
	b.rule(`{"method":"CurrentTime","times":1,"fault":"NotAuthenticated","fault_message":"no session"}`)
	a := b.rest("POST", path, id, "")
	b.want("status", a.status, 500)
	b.want("type", b.typeOf(a), "NotAuthenticated")
	b.want("message", strings.Contains(a.body, `"faultstring":"no session"`), true)
	b.want("object", strings.Contains(a.body, `"value":"ServiceInstance"`), true)
	b.want("counted", b.stats().Faults["NotAuthenticated"], int64(1))
	b.want("by path", b.stats().Calls["POST "+path], int64(1))
	b.rule(`{"path":"/sdk/vim25/*","times":1,"status":503}`)
	b.want("by prefix", b.rest("POST", path, id, "").status, 503)
	b.want("after them", b.rest("POST", path, id, "").status, 200)
}

func TestOldServersAndHostsHaveNoViJson(t *testing.T) {
	for _, flags := range [][]string{{"-like", "6.7"}, {"-mode", "esx"}} {
		b := launch(t, flags...)
		b.want(flags[1], b.rest("GET", release+"ServiceInstance/ServiceInstance/content", "", "").status, 404)
	}
}

func TestReleasesAreNegotiated(t *testing.T) {
	b := launch(t, "-endpoints", "all", "-like", "9.0.1")
	hello := func(body string) restAnswer { return b.rest("POST", "/api/vcenter/system?action=hello", "", body) }
	b.want("the first known", hello(`{"api_releases":["9.1.0.0","8.0.1.0","9.0.0.0"]}`).body, `{"api_release":"8.0.1.0"}`)
	b.want("none", hello(`{"api_releases":["1.0"]}`).body, `{"api_release":""}`)
	b.want("not JSON", hello(`{`).status, 400)
}
