package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// envelope is what the front needs to know of a SOAP request.
type envelope struct {
	method      string // local name of the first element in Body
	target      string // type of _this
	targetID    string // value of _this
	operationID string // Header/operationID
	cookie      string // Header/vcSessionCookie, used by the services other than vim25
	cookieAt    int    // offset of cookie in the body
}

// scanEnvelope reads the few fields above with a tag scanner and stops at the
// method's _this. A full XML decode of every request would cost more than the
// simulator's own work on a small call.
func scanEnvelope(body []byte) (envelope, bool) {
	var e envelope
	depth := 0       // open elements
	bodyDepth := 0   // depth of Body once seen
	methodDepth := 0 // depth of the method once seen
	for at := 0; ; {
		open := bytes.IndexByte(body[at:], '<')
		if open < 0 {
			return e, e.method != ""
		}
		at += open
		rest := body[at:]
		switch {
		case bytes.HasPrefix(rest, []byte("<?")):
			at = skipTo(body, at, "?>")
		case bytes.HasPrefix(rest, []byte("<!--")):
			at = skipTo(body, at, "-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			at = skipTo(body, at, "]]>")
		case bytes.HasPrefix(rest, []byte("</")):
			depth--
			at = skipTo(body, at, ">")
			if methodDepth > 0 && depth < methodDepth {
				return e, true
			}
		default:
			end := tagEnd(rest)
			if end < 0 {
				return e, e.method != ""
			}
			tag := rest[1:end]
			at += end + 1
			empty := len(tag) > 0 && tag[len(tag)-1] == '/'
			depth++
			name := localName(tag)
			switch {
			case depth == 2 && name == "Body":
				bodyDepth = depth
			case bodyDepth == 0 && depth == 3 && name == "operationID":
				e.operationID = text(body, at, empty)
			case bodyDepth == 0 && depth == 3 && name == "vcSessionCookie":
				e.cookie, e.cookieAt = text(body, at, empty), at
			case bodyDepth > 0 && methodDepth == 0 && depth == bodyDepth+1:
				e.method, methodDepth = name, depth
			case methodDepth > 0 && depth == methodDepth+1:
				if name == "_this" {
					e.targetID = text(body, at, empty)
					e.target = attribute(tag, "type")
				}
				return e, true // _this comes first, so nothing more is needed
			}
			if empty {
				depth--
			}
		}
	}
}

func skipTo(body []byte, at int, end string) int {
	i := bytes.Index(body[at:], []byte(end))
	if i < 0 {
		return len(body)
	}
	return at + i + len(end)
}

// tagEnd finds the '>' of the tag at the start of s; a '>' may stand in a
// quoted attribute value.
func tagEnd(s []byte) int {
	var quote byte
	for i, c := range s {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return -1
}

func localName(tag []byte) string {
	if i := bytes.IndexAny(tag, " \t\r\n/"); i >= 0 {
		tag = tag[:i]
	}
	if i := bytes.IndexByte(tag, ':'); i >= 0 {
		tag = tag[i+1:]
	}
	return string(tag)
}

func attribute(tag []byte, name string) string {
	for _, quote := range []string{`"`, `'`} {
		if _, after, ok := bytes.Cut(tag, []byte(" "+name+"="+quote)); ok {
			value, _, _ := bytes.Cut(after, []byte(quote))
			return string(value)
		}
	}
	return ""
}

func text(body []byte, at int, empty bool) string {
	if empty {
		return ""
	}
	end := bytes.IndexByte(body[at:], '<')
	if end < 0 {
		return ""
	}
	return string(body[at : at+end])
}

// elements returns the text of every element with the given local name. It is
// used only on short bodies whose shape is known (sessionId, cloneTicket,
// returnval of a ticket).
func elements(body []byte, name string) []string {
	var found []string
	for at := 0; at < len(body); {
		open := bytes.IndexByte(body[at:], '<')
		if open < 0 {
			break
		}
		at += open
		end := tagEnd(body[at:])
		if end < 0 {
			break
		}
		tag := body[at+1 : at+end]
		at += end + 1
		if localName(tag) == name {
			found = append(found, text(body, at, bytes.HasSuffix(tag, []byte("/"))))
		}
	}
	return found
}

// faultName returns the type of the fault in a reply, or "".
func faultName(reply []byte) string {
	_, detail, ok := bytes.Cut(reply, []byte("<detail>"))
	if !ok {
		return ""
	}
	end := tagEnd(detail)
	if end < 0 {
		return ""
	}
	name := attribute(detail[:end], "xsi:type")
	if i := strings.IndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	return name
}

const faultEnvelope = xml.Header +
	`<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/"` +
	` xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"` +
	` xmlns:xsd="http://www.w3.org/2001/XMLSchema"` +
	` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
	`<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode>` +
	`<faultstring>%s</faultstring><detail>%s</detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`

// faultBody writes a fault as the simulator does, around the given detail.
func faultBody(message, detail string) []byte {
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(message))
	return fmt.Appendf(nil, faultEnvelope, escaped.String(), detail)
}

// newFault makes an empty vim25 fault of the named type.
func newFault(name string) (types.BaseMethodFault, error) {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil, fmt.Errorf("no vim25 type %q", name)
	}
	fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault)
	if !ok {
		return nil, fmt.Errorf("vim25 type %q is not a fault", name)
	}
	return fault, nil
}

// namedFault makes a fault of the named type. A NotAuthenticated or NoPermission
// names the object of the call, as the simulator's own do.
func namedFault(name string, this types.ManagedObjectReference) (types.BaseMethodFault, error) {
	fault, err := newFault(name)
	if p, ok := fault.(types.BaseNoPermission); ok && err == nil {
		no := p.GetNoPermission()
		no.PrivilegeId = "System.View"
		if this.Type != "" {
			no.Object = &this
		}
	}
	return fault, err
}

// faultDetail renders a fault of the named type.
func faultDetail(name string, e envelope) (string, error) {
	fault, err := namedFault(name, types.ManagedObjectReference{Type: e.target, Value: e.targetID})
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := xml.NewEncoder(&out)
	err = encoder.EncodeElement(fault, xml.StartElement{
		Name: xml.Name{Local: name + "Fault"},
		Attr: []xml.Attr{
			{Name: xml.Name{Local: "xmlns"}, Value: "urn:vim25"},
			{Name: xml.Name{Local: "xsi:type"}, Value: name},
		},
	})
	if err == nil {
		err = encoder.Flush()
	}
	return out.String(), err
}
