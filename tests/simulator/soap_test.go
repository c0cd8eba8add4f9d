package main

import "testing"

func TestScanEnvelope(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want envelope
		ok   bool
	}{
		"plain": {
			`<?xml version="1.0"?><Envelope xmlns="x"><Header><operationID xmlns="">op</operationID></Header>` +
				`<Body><Login xmlns="urn:vim25"><_this type="SessionManager">SM</_this></Login></Body></Envelope>`,
			envelope{method: "Login", target: "SessionManager", targetID: "SM", operationID: "op"}, true,
		},
		"prefixes, white space, comments": {
			"\n<e:Envelope  xmlns:e='a>b'>\n<!-- <Body> --><e:Header/><e:Body\n>\n<!-- x --><v:Logout\txmlns:v='u'>" +
				"<v:_this type='T'>S</v:_this></v:Logout></e:Body></e:Envelope>",
			envelope{method: "Logout", target: "T", targetID: "S"}, true,
		},
		"a Body in the header is not the body": {
			`<Envelope><Header><Security><Body><Wrong/></Body></Security></Header><Body><Right/></Body></Envelope>`,
			envelope{method: "Right"}, true,
		},
		"CDATA": {
			`<Envelope><Header><a><![CDATA[</a><Body><Wrong/>]]></a></Header><Body><Right></Right></Body></Envelope>`,
			envelope{method: "Right"}, true,
		},
		"empty body": {`<Envelope><Body/></Envelope>`, envelope{}, false},
		"cut off":    {`<Envelope><Body><Lo`, envelope{}, false},
		"no XML":     {`{"a":1}`, envelope{}, false},
	} {
		got, ok := scanEnvelope([]byte(c.body))
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %+v %v", name, got, ok)
		}
	}
	body := []byte(`<E><Header><vcSessionCookie>abc</vcSessionCookie></Header><Body><M/></Body></E>`)
	e, _ := scanEnvelope(body)
	if e.cookie != "abc" || string(body[e.cookieAt:e.cookieAt+3]) != "abc" {
		t.Errorf("%+v", e)
	}
}

func FuzzScanEnvelope(f *testing.F) {
	f.Add([]byte(`<E><Header/><Body><M><_this type="a">b</_this></M></Body></E>`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		scanEnvelope(body)
		elements(body, "x")
		faultName(body)
	})
}

func BenchmarkScanEnvelope(b *testing.B) {
	body := []byte(`<?xml version="1.0" encoding="UTF-8"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/">` +
		`<Body><CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime></Body></Envelope>`)
	b.ReportAllocs()
	for b.Loop() {
		scanEnvelope(body)
	}
}
