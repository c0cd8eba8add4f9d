package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A profile describes how a version of vCenter formats its replies on /sdk:
// header lines, framing, envelope layout, session cookie and versions document.
// The content of a reply remains the simulator's. The facts come from recordings
// of real servers; the README lists them and what they leave open.
type profile struct {
	version string // about.version
	rest    string // how it combines REST with its vim25 sessions

	// The header lines, in the server's order and spelling. A line without a
	// value takes the reply's value and is left out if there is none. Further
	// headers of the reply follow.
	lines []line

	// Longer bodies are chunked; others have a Content-Length.
	longestWithLength int
	compresses        bool // for clients that ask

	versions []string // newest first, as in the versions document
}

type line struct{ name, value string }

// chunksAll is the value of longestWithLength that chunks every SOAP reply.
const chunksAll = -1

// The recordings do not keep chunk sizes, so this one is an assumption.
const defaultChunkSize = 16384

var profiles = map[string]*profile{
	"6.7": {
		version: "6.7.0",
		rest:    restLegacy,
		lines: []line{
			{"Date", ""}, {"Set-Cookie", ""}, {"Cache-Control", "no-cache"}, {"Connection", "Keep-Alive"}, {"Content-Type", ""},
			{"Transfer-Encoding", ""}, {"X-Frame-Options", "DENY"}, {"Content-Length", ""},
		},
		longestWithLength: 16384,
		versions:          strings.Fields("6.7 6.5 6.0 5.5 5.1 5.0 4.1 4.0"),
	},
	"8.0.3": {
		version: "8.0.3",
		rest:    restUnified,
		lines: []line{
			{"cache-control", "no-cache"}, {"content-type", ""}, {"date", ""}, {"set-cookie", ""}, {"x-envoy-upstream-service-time", "1"},
			{"vary", "Accept-Encoding"}, {"content-encoding", ""}, {"content-length", ""}, {"transfer-encoding", ""},
		},
		longestWithLength: chunksAll,
		compresses:        true,
		versions:          versions80,
	},
	"9.0.1": {
		version: "9.0.1",
		rest:    restUnified,
		lines: []line{
			{"cache-control", "no-cache"}, {"content-type", ""}, {"date", ""}, {"set-cookie", ""}, {"x-applied-soapaction", ""},
			{"vary", "Accept-Encoding"}, {"content-encoding", ""}, {"content-length", ""}, {"transfer-encoding", ""},
		},
		longestWithLength: chunksAll,
		compresses:        true,
		versions:          append([]string{"9.0.0.0"}, versions80[1:]...),
	},
}

// The first entry is an internal name that clients have to skip.
var versions80 = strings.Fields("uA046D008 8.0.2.0 8.0.1.0 8.0.0.2 8.0.0.1 8.0.0.0 7.0.3.2 7.0.3.1 7.0.3.0 7.0.2.1 7.0.2.0 7.0.1.1 " +
	"7.0.1.0 7.0.0.2 7.0.0.0 6.9.1 6.8.7 6.7.3 6.7.2 6.7.1 6.7 6.5 6.0 5.5 5.1 5.0 4.1 4.0")

const plainProfile = "plain"

func profileNames() string {
	return plainProfile + ", " + strings.Join(slices.Sorted(maps.Keys(profiles)), ", ")
}

// settings can be changed at run time by POST /profile.
type settings struct {
	Like      string `json:"like"`       // plain, or the name of a profile
	Rest      string `json:"rest"`       // how REST is combined with vim25; empty: as the profile does
	Gzip      bool   `json:"gzip"`       // compress if the profile does
	Chunks    string `json:"chunks"`     // how a chunked reply is written: whole, each or bytes
	ChunkSize int    `json:"chunk_size"` // bytes of data in a chunk; 0: the profile's
}

// How a chunked reply is written.
const (
	chunksWhole = "whole" // in one write
	chunksEach  = "each"  // one write for the head and one for each chunk
	chunksBytes = "bytes" // one write for each byte
)

func (a *settings) check() error {
	if a.Like == "" {
		a.Like = plainProfile
	}
	if a.Chunks == "" {
		a.Chunks = chunksWhole
	}
	if _, known := profiles[a.Like]; !known && a.Like != plainProfile {
		return fmt.Errorf("unknown profile %q: %s", a.Like, profileNames())
	}
	if !slices.Contains([]string{"", restUnified, restSeparate, restLegacy, restNone}, a.Rest) {
		return fmt.Errorf("rest is %s, %s, %s or %s", restUnified, restSeparate, restLegacy, restNone)
	}
	return checkChunks(a.Chunks, a.ChunkSize)
}

func (a *settings) restMode() string {
	switch m := profiles[a.Like]; {
	case a.Rest != "":
		return a.Rest
	case m != nil:
		return m.rest
	}
	return restSeparate
}

func checkChunks(writes string, size int) error {
	if !slices.Contains([]string{"", chunksWhole, chunksEach, chunksBytes}, writes) {
		return fmt.Errorf(`chunks is "whole", "each" or "bytes"`)
	}
	if size < 0 {
		return fmt.Errorf("the chunk size is negative")
	}
	return nil
}

// profile returns the profile for the reply to a call; nil means plain. Only
// SOAP replies and the versions document were recorded.
func (a *settings) profile(c *call, r *reply) *profile {
	m := profiles[a.Like]
	if m == nil || c.path != "/sdk" && !c.isVersions() || !isXML(r) {
		return nil
	}
	return m
}

func (c *call) isVersions() bool {
	return c.httpMethod == http.MethodGet && strings.HasSuffix(c.path, "/sdk/vimServiceVersions.xml")
}

// isXML detects a content type where none is set, as net/http does.
func isXML(r *reply) bool {
	if r.header.Get("Content-Type") == "" && len(r.body) > 0 {
		r.header.Set("Content-Type", http.DetectContentType(r.body))
	}
	return strings.HasPrefix(r.header.Get("Content-Type"), "text/xml")
}

// chunks reports whether the profile chunks a reply.
func (m *profile) chunks(c *call, r *reply) bool {
	if c.isVersions() {
		return r.header.Get("Content-Encoding") != ""
	}
	return len(r.body) > m.longestWithLength
}

// adopt gives the simulator's reply the headers and the body layout of the
// profile. A body that a rule supplies stays as it is.
func (m *profile) adopt(c *call, r *reply, canned bool) {
	if c.isVersions() {
		if r.status == http.StatusOK && !canned {
			r.body = versionsDocument(m.versions)
		}
		return
	}
	r.body = layOutEnvelope(r.body)
	for i, set := range r.header["Set-Cookie"] {
		r.header["Set-Cookie"][i] = cookieLine(set, c.tls)
	}
	if slices.ContainsFunc(m.lines, func(l line) bool { return l.name == "x-applied-soapaction" }) {
		r.header.Set("X-Applied-SOAPAction", m.appliedAction(c.soapAction))
	}
}

// apiVersion returns the newest version that is a number.
func (m *profile) apiVersion() string {
	for _, version := range m.versions {
		if strings.Trim(version, "0123456789.") == "" {
			return version
		}
	}
	return ""
}

// appliedAction returns the version that the server applies to a call: the
// requested one if it is listed, otherwise the newest.
func (m *profile) appliedAction(asked string) string {
	if version, ok := strings.CutPrefix(asked, "urn:vim25/"); ok && slices.Contains(m.versions, version) {
		return asked
	}
	return "urn:vim25/" + m.apiVersion()
}

func versionsDocument(versions []string) []byte {
	var out bytes.Buffer
	out.WriteString(`<?xml version="1.0" encoding="UTF-8" ?><namespaces version="1.0"><namespace><name>urn:vim25</name><version>`)
	out.WriteString(versions[0] + "</version><priorVersions>")
	for _, prior := range versions[1:] {
		out.WriteString("<version>" + prior + "</version>")
	}
	out.WriteString("</priorVersions></namespace></namespaces>\n")
	return out.Bytes()
}

// The envelopes of the simulator and of a real server.
var (
	simulatorsStart = []byte(faultEnvelope[:strings.Index(faultEnvelope, "<soapenv:Fault>")])
	simulatorsEnd   = []byte("</soapenv:Body></soapenv:Envelope>")
	serversStart    = []byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" +
		"<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\"\n" +
		" xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"\n" +
		" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"\n" +
		" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n")
	serversEnd = []byte("\n</soapenv:Body>\n</soapenv:Envelope>")
)

// layOutEnvelope lays out the envelope as a real server does. It returns a body
// that is not in the simulator's layout unchanged.
func layOutEnvelope(body []byte) []byte {
	content, ours := bytes.CutPrefix(body, simulatorsStart)
	if !ours {
		return body
	}
	content, ours = bytes.CutSuffix(bytes.TrimRight(content, "\n"), simulatorsEnd)
	if !ours {
		return body
	}
	return slices.Concat(serversStart, content, serversEnd)
}

// A real server's session cookie is 40 hexadecimal digits; the simulator's is
// the session key. The digits here are a checksum and the key's digits in
// reverse, so no table has to map cookies to keys.

func cookieOfKey(key string) (string, bool) {
	digits := []byte(strings.ReplaceAll(key, "-", ""))
	if len(digits) != 32 || len(key) != 36 {
		return "", false
	}
	slices.Reverse(digits)
	return fmt.Sprintf("%08x%s", crc32.ChecksumIEEE(digits), digits), true
}

// keyOfCookie reverses cookieOfKey. It returns any other value unchanged.
func keyOfCookie(value string) string {
	if len(value) != 40 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(value[8:]))) != value[:8] {
		return value
	}
	d := []byte(value[8:])
	slices.Reverse(d)
	return fmt.Sprintf("%s-%s-%s-%s-%s", d[:8], d[8:12], d[12:16], d[16:20], d[20:])
}

// cookieLine writes the simulator's Set-Cookie as a real server does. It leaves
// out Secure over plain HTTP, because clients would not send that cookie back.
func cookieLine(set string, tls bool) string {
	cookie, err := http.ParseSetCookie(set)
	if err != nil {
		return set
	}
	value, ok := cookieOfKey(cookie.Value)
	if !ok {
		return set
	}
	set = cookie.Name + `="` + value + `"; Path=/; HttpOnly;`
	if tls {
		set += " Secure;"
	}
	return set
}
