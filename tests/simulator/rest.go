package main

import (
	"encoding/json"
	"net/http"
)

// apiSessionPath is the session resource of vCenter 7.0 and later. The
// simulator has only the older one, so the front translates.
const apiSessionPath = "/api/session"

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
	if !isRestSession(c) {
		if c.rest {
			f.account.enterRest(c.cookie)
			defer f.account.leaveRest(c.cookie)
		}
		f.inner.ServeHTTP(rep, r)
		return
	}
	user, _, _ := r.BasicAuth()
	modern := c.path == apiSessionPath
	if modern {
		f.toLegacy(r)
	}
	if c.rest {
		f.account.enterRest(c.cookie)
		defer f.account.leaveRest(c.cookie)
	}
	f.inner.ServeHTTP(rep, r)
	switch {
	case rep.status == http.StatusUnauthorized && c.rest:
		f.account.dropRest(c.cookie)
	case rep.status != http.StatusOK:
	case isRestLogin(c):
		var id struct{ Value string }
		if json.Unmarshal(rep.body, &id) == nil && id.Value != "" {
			c.newKey = id.Value
			f.account.addRest(id.Value, user)
			f.stats.login(c.name())
		}
	case c.httpMethod == http.MethodDelete:
		f.account.dropRest(c.cookie)
		f.stats.logouts.Add(1)
	}
	if modern {
		fromLegacy(rep, c)
	}
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
	case rep.status == http.StatusUnauthorized:
		rep.header.Set("Content-Type", "application/json")
		rep.body = []byte(`{"messages":[{"args":[],"default_message":"Authentication required.",` +
			`"id":"com.vmware.vapi.endpoint.method.authentication.required"}],"error_type":"UNAUTHENTICATED"}`)
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
