package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// apiSessionPath is the session resource of vCenter 7.0 and later. The
// simulator has only the older one, so the front translates.
const apiSessionPath = "/api/session"

// How the server combines REST with its vim25 sessions.
const (
	restUnified  = "unified"  // a session serves both, as from vCenter 8.0 U3 on
	restSeparate = "separate" // /api and /rest, with sessions of their own
	restLegacy   = "legacy"   // /rest only, as before vCenter 7.0
	restNone     = "none"     // neither
)

func restID(r *http.Request) string {
	if id := r.Header.Get(restSessionHeader); id != "" {
		return id
	}
	if cookie, err := r.Cookie(restSessionHeader); err == nil {
		return cookie.Value
	}
	return ""
}

func isRestSession(c *call) bool { return c.path == restSessionPath || c.path == apiSessionPath }

// isRestLogin distinguishes a login from the probe that is a POST, too (?~action=get).
func isRestLogin(c *call) bool {
	return isRestSession(c) && c.httpMethod == http.MethodPost && !c.probe
}

// runRest passes on a request that is not SOAP.
func (f *front) runRest(rep *reply, r *http.Request, c *call) {
	isAPI, isLegacy := strings.HasPrefix(c.path, "/api/"), strings.HasPrefix(c.path, "/rest/")
	mode := f.settings.Load().restMode()
	switch {
	case !isAPI && !isLegacy:
		f.inner.ServeHTTP(rep, r)
		return
	case mode == restNone || isAPI && mode == restLegacy:
		http.NotFound(rep, r)
		asEndpoint(rep, c)
		return
	}
	if c.rest {
		f.account.enterRest(c.cookie)
		defer f.account.leaveRest(c.cookie)
	}
	c.shared = mode == restUnified && f.account.isSoap(c.cookie)
	switch {
	case isRestSession(c):
		f.restSession(rep, r, c, mode)
	case c.path == "/api/vcenter/system" && r.URL.Query().Get("action") == "hello":
		f.hello(rep, c)
	case c.path == machinesPath || strings.HasPrefix(c.path, machinesPath+"/"):
		f.machines(rep, r, c)
	default:
		if c.shared {
			r.Header.Set(restSessionHeader, f.account.ownRest())
		}
		f.inner.ServeHTTP(rep, r)
	}
	asEndpoint(rep, c)
}

// restSession serves the session resource in both its forms.
func (f *front) restSession(rep *reply, r *http.Request, c *call, mode string) {
	user, _, _ := r.BasicAuth()
	modern := c.path == apiSessionPath
	if modern {
		f.toLegacy(r)
	}
	if c.shared && !isRestLogin(c) {
		f.sharedSession(rep, c)
	} else {
		f.inner.ServeHTTP(rep, r)
	}
	switch {
	case rep.status == http.StatusUnauthorized && c.rest:
		f.account.dropRest(c.cookie)
	case rep.status != http.StatusOK:
	case isRestLogin(c):
		var id struct{ Value string }
		if json.Unmarshal(rep.body, &id) != nil || id.Value == "" {
			break
		}
		if mode == restUnified {
			f.unify(rep, r, c, id.Value)
		} else {
			c.newKey = id.Value
			f.account.addRest(id.Value, user)
		}
		f.stats.login(c.name())
	case c.httpMethod == http.MethodDelete:
		if !c.shared {
			f.account.dropRest(c.cookie)
		}
		f.stats.logouts.Add(1)
	}
	if modern {
		fromLegacy(rep, c)
	}
}

// sharedSession answers a request about a session that serves vim25 and REST.
func (f *front) sharedSession(rep *reply, c *call) {
	if c.httpMethod == http.MethodDelete {
		f.account.end(c.cookie)
		rep.WriteHeader(http.StatusOK)
		return
	}
	for _, s := range f.account.sessions() {
		if s.Key == c.cookie {
			rep.json(http.StatusOK, map[string]any{"value": map[string]any{
				"user": s.User, "created_time": s.LoginTime, "last_accessed_time": s.LastActive,
			}})
			return
		}
	}
	rep.WriteHeader(http.StatusUnauthorized)
}

// unify replaces the REST session that the simulator made by a session that serves vim25, too.
func (f *front) unify(rep *reply, r *http.Request, c *call, made string) {
	f.account.endRest(made)
	login := methodsByName["Login"]()
	user, password := f.account.credentials()
	request(login).Set(valueOf(&types.Login{
		This: types.ManagedObjectReference{Type: "SessionManager", Value: "SessionManager"}, UserName: user, Password: password,
	}))
	soapReply := newReply()
	f.inner.ServeHTTP(soapReply, soapRequest(r, login, ""))
	c.newKey = newCookie(soapReply)
	f.account.add(c.newKey)
	id := f.cookieOf(c.newKey)
	rep.body = []byte(strings.ReplaceAll(string(rep.body), made, id))
	for i, set := range rep.header["Set-Cookie"] {
		rep.header["Set-Cookie"][i] = strings.ReplaceAll(set, made, id)
	}
}

// cookieOf returns the value of a session's cookie, without quotes.
func (f *front) cookieOf(key string) string {
	if profiles[f.settings.Load().Like] != nil {
		if value, ok := cookieOfKey(key); ok {
			return value
		}
	}
	return key
}

// toLegacy turns a request on /api/session into the simulator's.
func (f *front) toLegacy(r *http.Request) {
	r.URL.Path = restSessionPath
	r.Header.Set("vmware-use-header-authn", "true")
	if r.Method == http.MethodGet {
		r.Method = http.MethodPost
		r.URL.RawQuery = "~action=get"
	}
}

// fromLegacy turns the simulator's answer into that of /api/session.
func fromLegacy(rep *reply, c *call) {
	switch {
	case rep.status != http.StatusOK:
	case c.httpMethod == http.MethodDelete:
		rep.status, rep.body = http.StatusNoContent, nil
	default:
		var wrapped struct{ Value json.RawMessage }
		if json.Unmarshal(rep.body, &wrapped) == nil {
			rep.body = wrapped.Value
		}
		if c.httpMethod == http.MethodPost {
			rep.status = http.StatusCreated
		}
	}
}

// asEndpoint gives a reply to a request without a session, or to a path that does not exist, the body that a vCenter sends.
func asEndpoint(rep *reply, c *call) {
	isAPI := strings.HasPrefix(c.path, "/api/")
	switch {
	case rep.status == http.StatusUnauthorized && len(rep.body) == 0:
		rep.restError(isAPI, http.StatusUnauthorized, "UNAUTHENTICATED",
			"com.vmware.vapi.endpoint.method.authentication.required", "Authentication required.")
	case rep.status == http.StatusNotFound && !strings.Contains(rep.header.Get("Content-Type"), "json"):
		rep.restError(isAPI, http.StatusNotFound, "NOT_FOUND", "com.vmware.vapi.rest.httpNotFound", "Not found.")
	}
}

// challenge is what a vCenter says of the ways to log in.
const challenge = `Basic realm="VAPI endpoint",SIGN realm="simulator",service="VAPI endpoint",sts="/sts/STSService/vsphere.local"`

// restError is an error in the form of /api, or of /rest.
func (r *reply) restError(isAPI bool, status int, kind, id, message string) {
	messages := []map[string]any{{"args": []string{}, "default_message": message, "id": id}}
	body := map[string]any{"error_type": kind, "messages": messages}
	switch {
	case !isAPI:
		body = map[string]any{
			"type":  "com.vmware.vapi.std.errors." + strings.ToLower(kind),
			"value": map[string]any{"messages": messages},
		}
	case status == http.StatusUnauthorized:
		body["challenge"] = challenge
	}
	r.json(status, body)
}

// json makes the reply a JSON document.
func (r *reply) json(status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // the values are plain data
	}
	r.status, r.body = status, body
	r.header.Set("Content-Type", "application/json")
}

// machinesPath is a small resource of a vCenter's that govmomi's simulator does not have.
const machinesPath = "/api/vcenter/vm"

func (f *front) machines(rep *reply, r *http.Request, c *call) {
	id := strings.Trim(strings.TrimPrefix(c.path, machinesPath), "/")
	switch {
	case r.Method != http.MethodGet:
		rep.restError(true, http.StatusMethodNotAllowed, "UNSUPPORTED", "com.vmware.vapi.rest.httpMethodNotAllowed", "Method not allowed.")
		return
	case !c.shared && !f.account.isRest(c.cookie):
		rep.WriteHeader(http.StatusUnauthorized)
		return
	}
	all := []map[string]any{}
	looker := &simulator.Context{Context: r.Context(), Map: f.account.reg}
	for _, entity := range f.account.reg.All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if !ok || id != "" && id != vm.Self.Value {
			continue
		}
		f.account.reg.WithLock(looker, vm, func() {
			all = append(all, map[string]any{
				"vm": vm.Self.Value, "name": vm.Name, "cpu_count": vm.Config.Hardware.NumCPU,
				"memory_size_MiB": vm.Config.Hardware.MemoryMB,
				"power_state":     map[bool]string{true: "POWERED_ON", false: "POWERED_OFF"}[vm.Runtime.PowerState == "poweredOn"],
			})
		})
	}
	// The registry has no order.
	slices.SortFunc(all, func(a, b map[string]any) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	switch {
	case id == "":
		rep.json(http.StatusOK, all)
	case len(all) == 1:
		rep.json(http.StatusOK, all[0])
	default:
		rep.restError(true, http.StatusNotFound, "NOT_FOUND", "com.vmware.api.vcenter.vm.not_found",
			fmt.Sprintf("Virtual machine with identifier '%s' does not exist.", id))
	}
}
