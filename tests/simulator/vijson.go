package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// VI JSON, which govmomi's simulator does not have: the front turns a request
// into the SOAP call that does the same, and its answer into JSON. The shapes are
// those of the OpenAPI document and of govmomi's client; no recording of a real
// server was found.

const viJSONPath = "/sdk/vim25/"

// viCall is what the path of a VI JSON request names.
type viCall struct {
	release string
	this    types.ManagedObjectReference
	member  string // a method or a property
}

func scanViPath(path string) *viCall {
	rest, ok := strings.CutPrefix(path, viJSONPath)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 4 || slices.Contains(parts, "") {
		return nil
	}
	return &viCall{parts[0], types.ManagedObjectReference{Type: parts[1], Value: parts[2]}, parts[3]}
}

// methodsByName are the methods that a client can call by JSON.
var methodsByName = map[string]func() soap.HasFault{
	"CancelRetrievePropertiesEx":   func() soap.HasFault { return &methods.CancelRetrievePropertiesExBody{} },
	"ContinueRetrievePropertiesEx": func() soap.HasFault { return &methods.ContinueRetrievePropertiesExBody{} },
	"CreateContainerView":          func() soap.HasFault { return &methods.CreateContainerViewBody{} },
	"CreateFilter":                 func() soap.HasFault { return &methods.CreateFilterBody{} },
	"CreatePropertyCollector":      func() soap.HasFault { return &methods.CreatePropertyCollectorBody{} },
	"CurrentTime":                  func() soap.HasFault { return &methods.CurrentTimeBody{} },
	"DestroyPropertyCollector":     func() soap.HasFault { return &methods.DestroyPropertyCollectorBody{} },
	"DestroyView":                  func() soap.HasFault { return &methods.DestroyViewBody{} },
	"FindByUuid":                   func() soap.HasFault { return &methods.FindByUuidBody{} },
	"Login":                        func() soap.HasFault { return &methods.LoginBody{} },
	"Logout":                       func() soap.HasFault { return &methods.LogoutBody{} },
	"PowerOffVM_Task":              func() soap.HasFault { return &methods.PowerOffVM_TaskBody{} },
	"PowerOnVM_Task":               func() soap.HasFault { return &methods.PowerOnVM_TaskBody{} },
	"RetrievePropertiesEx":         func() soap.HasFault { return &methods.RetrievePropertiesExBody{} },
	"RetrieveServiceContent":       func() soap.HasFault { return &methods.RetrieveServiceContentBody{} },
	"SessionIsActive":              func() soap.HasFault { return &methods.SessionIsActiveBody{} },
	"WaitForUpdatesEx":             func() soap.HasFault { return &methods.WaitForUpdatesExBody{} },
}

func valueOf(v any) reflect.Value { return reflect.ValueOf(v) }

// request is the Req of a method's body, a pointer.
func request(body soap.HasFault) reflect.Value { return valueOf(body).Elem().FieldByName("Req") }

// returned is the value that a method returned: invalid if it returns none.
func returned(body soap.HasFault) reflect.Value {
	res := valueOf(body).Elem().FieldByName("Res")
	if res.IsNil() {
		return reflect.Value{}
	}
	return res.Elem().FieldByName("Returnval")
}

// soapRequest makes the request that a SOAP client would send in the place of r.
func soapRequest(r *http.Request, body soap.HasFault, cookie string) *http.Request {
	var out bytes.Buffer
	if err := xml.NewEncoder(&out).Encode(soap.Envelope{Body: body}); err != nil {
		panic(err)
	}
	s := r.Clone(r.Context())
	s.Method, s.URL.Path, s.URL.RawQuery = http.MethodPost, "/sdk", ""
	s.Header = http.Header{"Content-Type": {"text/xml"}, "User-Agent": r.Header["User-Agent"]}
	if cookie != "" {
		s.AddCookie(&http.Cookie{Name: soap.SessionCookieName, Value: cookie})
	}
	s.Body, s.ContentLength = io.NopCloser(bytes.NewReader(out.Bytes())), int64(out.Len())
	return s
}

// releases are those that clients can name in a path.
func (a *settings) releases() []string {
	versions := versions80
	if m := profiles[a.Like]; m != nil {
		versions = m.versions
	}
	return slices.DeleteFunc(slices.Clone(versions), func(v string) bool { return strings.Count(v, ".") != 3 })
}

// hello answers which of the releases that the client names, in its order, this server has.
func (f *front) hello(rep *reply, c *call) {
	var asked struct {
		Releases []string `json:"api_releases"`
	}
	if c.httpMethod != http.MethodPost || json.Unmarshal(c.body, &asked) != nil {
		rep.restError(true, http.StatusBadRequest, "INVALID_ARGUMENT", "com.vmware.vapi.rest.bad_request", "Invalid request.")
		return
	}
	release := ""
	if i := slices.IndexFunc(asked.Releases, func(v string) bool { return slices.Contains(f.settings.Load().releases(), v) }); i >= 0 {
		release = asked.Releases[i]
	}
	rep.json(http.StatusOK, map[string]string{"api_release": release})
}

// runVi serves a VI JSON request.
func (f *front) runVi(rep *reply, r *http.Request, c *call) {
	if !slices.Contains(f.settings.Load().releases(), c.vi.release) {
		http.NotFound(rep, r)
		return
	}
	switch c.httpMethod {
	case http.MethodPost:
		f.viMethod(rep, r, c)
	case http.MethodGet:
		f.viProperty(rep, r, c)
	default:
		rep.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (f *front) viMethod(rep *reply, r *http.Request, c *call) {
	known := methodsByName[c.vi.member]
	if known == nil {
		http.NotFound(rep, r)
		return
	}
	body := known()
	parameters := reflect.New(request(body).Type().Elem())
	if len(bytes.TrimSpace(c.body)) > 0 {
		if err := types.NewJSONDecoder(bytes.NewReader(c.body)).Decode(parameters.Interface()); err != nil {
			rep.viFault(&types.InvalidRequest{}, err.Error())
			return
		}
	}
	parameters.Elem().FieldByName("This").Set(valueOf(c.vi.this))
	request(body).Set(parameters)
	soapReply := f.callForVi(r, c, body)
	if rep.takeFault(body) {
		return
	}
	if key := newCookie(soapReply); key != "" {
		rep.header.Set(restSessionHeader, f.cookieOf(key))
	}
	value := returned(body)
	if !value.IsValid() {
		rep.WriteHeader(http.StatusNoContent)
		return
	}
	rep.viJSON(value.Interface())
}

// viProperty reads a property. ServiceInstance's content alone needs no session.
func (f *front) viProperty(rep *reply, r *http.Request, c *call) {
	switch {
	case c.vi.this.Type == "ServiceInstance" && c.vi.member == "content":
		rep.viJSON(f.account.reg.Get(c.vi.this).(*simulator.ServiceInstance).Content)
		return
	case c.key == "":
		this := c.vi.this
		rep.viFault(&types.NotAuthenticated{NoPermission: types.NoPermission{Object: &this, PrivilegeId: "System.View"}},
			"The session is not authenticated.")
		return
	}
	body := &methods.RetrievePropertiesExBody{Req: &types.RetrievePropertiesEx{
		This: types.ManagedObjectReference{Type: "PropertyCollector", Value: "propertyCollector"},
		SpecSet: []types.PropertyFilterSpec{{
			PropSet:   []types.PropertySpec{{Type: c.vi.this.Type, PathSet: []string{c.vi.member}}},
			ObjectSet: []types.ObjectSpec{{Obj: c.vi.this}},
		}},
	}}
	f.callForVi(r, c, body)
	if rep.takeFault(body) {
		return
	}
	if body.Res.Returnval != nil {
		for _, o := range body.Res.Returnval.Objects {
			for _, missing := range o.MissingSet {
				rep.viFault(missing.Fault.Fault, missing.Fault.LocalizedMessage)
				return
			}
			for _, p := range o.PropSet {
				rep.viJSON(p.Val)
				return
			}
		}
	}
	rep.viJSON(nil)
}

// callForVi makes the SOAP call and reads its answer into body.
func (f *front) callForVi(r *http.Request, c *call, body soap.HasFault) *reply {
	s := *c
	s.vi, s.rest, s.sentCookie = nil, false, c.cookie
	s.method = request(body).Type().Elem().Name()
	sr := soapRequest(r, body, c.cookie)
	s.body, _ = io.ReadAll(sr.Body)
	sr.Body = io.NopCloser(bytes.NewReader(s.body))
	s.envelope, _ = scanEnvelope(s.body)
	soapReply := f.run(sr, &s)
	c.newKey = s.newKey
	decoder := xml.NewDecoder(bytes.NewReader(soapReply.body))
	decoder.TypeFunc = types.TypeFunc()
	if err := decoder.Decode(&soap.Envelope{Body: body}); err != nil {
		panic(err)
	}
	return soapReply
}

// takeFault answers with the fault in a method's body, if there is one.
func (r *reply) takeFault(body soap.HasFault) bool {
	fault := body.Fault()
	if fault == nil {
		return false
	}
	value := fault.VimFault()
	if value == nil {
		value = types.SystemError{Reason: fault.String}
	}
	r.viFault(value, fault.String)
	return true
}

// viFault answers with a fault: its type is the _typeName of the document.
func (r *reply) viFault(fault any, message string) {
	var out bytes.Buffer
	if err := types.NewJSONEncoder(&out).Encode(fault); err != nil {
		panic(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(out.Bytes(), &members); err != nil {
		panic(err)
	}
	members["faultstring"], _ = json.Marshal(message)
	_ = json.Unmarshal(members["_typeName"], &r.fault)
	r.json(http.StatusInternalServerError, members)
}

// viJSON answers with a value of a known type: without a box around a primitive value or an array.
func (r *reply) viJSON(value any) {
	var out bytes.Buffer
	v := reflect.Indirect(valueOf(value))
	if v.IsValid() && v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().Name(), "ArrayOf") {
		v = v.Field(0)
	}
	encoder := types.NewJSONEncoder(&out)
	switch {
	case !v.IsValid():
		out.WriteString("null")
	case v.Kind() == reflect.Slice:
		out.WriteString("[")
		for i := range v.Len() {
			if i > 0 {
				out.WriteString(",")
			}
			if err := encoder.Encode(v.Index(i).Interface()); err != nil {
				panic(err)
			}
		}
		out.WriteString("]")
	default:
		if err := encoder.Encode(v.Interface()); err != nil {
			panic(err)
		}
		var boxed struct {
			Value json.RawMessage `json:"_value"`
		}
		if json.Unmarshal(out.Bytes(), &boxed) == nil && boxed.Value != nil {
			out = *bytes.NewBuffer(boxed.Value)
		}
	}
	r.status, r.body = http.StatusOK, bytes.TrimSpace(out.Bytes())
	r.header.Set("Content-Type", "application/json")
}
