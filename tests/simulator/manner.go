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

// A manner is how a version of vCenter answers on /sdk: the lines of the head,
// the framing, the layout of the envelope, the form of the session cookie and
// the versions document. What the answer says stays the simulator's. The facts
// come from recordings of real servers; the README lists them and what they
// leave open.
type manner struct {
	name string

	// The header lines in order and in the server's spelling. A line without a
	// value gets that of the answer, and is left out where there is none. Other
	// headers of the answer follow.
	lines []line

	// Longer bodies are chunked, shorter ones have a Content-Length.
	longestWithLength int
	compresses        bool // when the client asks

	versions []string // newest first, as in the versions document
}

type line struct{ name, value string }

// everySOAPReply stands for a length that no envelope falls short of.
const everySOAPReply = -1

// The recordings keep no sizes of chunks. This is what vCenter's front reads at
// a time.
const defaultChunkSize = 16384

var manners = map[string]*manner{
	"6.7": {
		lines: []line{
			{"Date", ""}, {"Set-Cookie", ""}, {"Cache-Control", "no-cache"}, {"Connection", "Keep-Alive"}, {"Content-Type", ""},
			{"Transfer-Encoding", ""}, {"X-Frame-Options", "DENY"}, {"Content-Length", ""},
		},
		longestWithLength: 16384,
		versions:          strings.Fields("6.7 6.5 6.0 5.5 5.1 5.0 4.1 4.0"),
	},
	"8.0.3": {
		lines: []line{
			{"cache-control", "no-cache"}, {"content-type", ""}, {"date", ""}, {"set-cookie", ""}, {"x-envoy-upstream-service-time", "1"},
			{"vary", "Accept-Encoding"}, {"content-encoding", ""}, {"content-length", ""}, {"transfer-encoding", ""},
		},
		longestWithLength: everySOAPReply,
		compresses:        true,
		versions:          versions80,
	},
	"9.0.1": {
		lines: []line{
			{"cache-control", "no-cache"}, {"content-type", ""}, {"date", ""}, {"set-cookie", ""}, {"x-applied-soapaction", ""},
			{"vary", "Accept-Encoding"}, {"content-encoding", ""}, {"content-length", ""}, {"transfer-encoding", ""},
		},
		longestWithLength: everySOAPReply,
		compresses:        true,
		versions:          append([]string{"9.0.0.0"}, versions80[1:]...),
	},
}

// The first is an internal name; clients have to skip it.
var versions80 = strings.Fields("uA046D008 8.0.2.0 8.0.1.0 8.0.0.2 8.0.0.1 8.0.0.0 7.0.3.2 7.0.3.1 7.0.3.0 7.0.2.1 7.0.2.0 7.0.1.1 " +
	"7.0.1.0 7.0.0.2 7.0.0.0 6.9.1 6.8.7 6.7.3 6.7.2 6.7.1 6.7 6.5 6.0 5.5 5.1 5.0 4.1 4.0")

const plainManner = "plain"

func mannerNames() string {
	return plainManner + ", " + strings.Join(slices.Sorted(maps.Keys(manners)), ", ")
}

// answering is what can be switched at run time: POST /manner.
type answering struct {
	Like      string `json:"like"`       // plain, or the name of a manner
	Gzip      bool   `json:"gzip"`       // compress where the manner does
	Chunks    string `json:"chunks"`     // the writes of a chunked answer: whole, each or bytes
	ChunkSize int    `json:"chunk_size"` // bytes of data in a chunk; 0: the manner's
}

// The writes of a chunked answer.
const (
	chunksWhole = "whole" // all in one write
	chunksEach  = "each"  // the head and each chunk in a write of its own
	chunksBytes = "bytes" // each byte in a write of its own
)

func (a *answering) check() error {
	if a.Like == "" {
		a.Like = plainManner
	}
	if a.Chunks == "" {
		a.Chunks = chunksWhole
	}
	if _, known := manners[a.Like]; !known && a.Like != plainManner {
		return fmt.Errorf("unknown manner %q: %s", a.Like, mannerNames())
	}
	return checkChunks(a.Chunks, a.ChunkSize)
}

func checkChunks(writes string, size int) error {
	if !slices.Contains([]string{"", chunksWhole, chunksEach, chunksBytes}, writes) {
		return fmt.Errorf(`chunks are sent "whole", "each" or "bytes"`)
	}
	if size < 0 {
		return fmt.Errorf("the size of a chunk is negative")
	}
	return nil
}

// manner of the answer to a call; nil for plain. Only SOAP replies and the
// versions document were recorded.
func (a *answering) manner(c *call, r *reply) *manner {
	m := manners[a.Like]
	if m == nil || c.path != "/sdk" && !c.isVersions() || !isXML(r) {
		return nil
	}
	return m
}

func (c *call) isVersions() bool {
	return c.httpMethod == http.MethodGet && strings.HasSuffix(c.path, "/sdk/vimServiceVersions.xml")
}

// isXML answers as net/http would, where nobody has named the type.
func isXML(r *reply) bool {
	if r.header.Get("Content-Type") == "" && len(r.body) > 0 {
		r.header.Set("Content-Type", http.DetectContentType(r.body))
	}
	return strings.HasPrefix(r.header.Get("Content-Type"), "text/xml")
}

// chunks tells whether the manner chunks an answer.
func (m *manner) chunks(c *call, r *reply) bool {
	if c.isVersions() {
		return r.header.Get("Content-Encoding") != ""
	}
	return len(r.body) > m.longestWithLength
}

// adopt changes an answer of the simulator's into one in the manner, as far as
// headers and body go. What a rule has canned stays as it is.
func (m *manner) adopt(c *call, r *reply, canned bool) {
	if c.isVersions() {
		if r.status == http.StatusOK && !canned {
			r.body = versionsDocument(m.versions)
		}
		return
	}
	r.body = relayEnvelope(r.body)
	for i, set := range r.header["Set-Cookie"] {
		r.header["Set-Cookie"][i] = cookieLine(set, c.tls)
	}
	if slices.ContainsFunc(m.lines, func(l line) bool { return l.name == "x-applied-soapaction" }) {
		r.header.Set("X-Applied-SOAPAction", m.appliedAction(c.soapAction))
	}
}

// apiVersion is the newest version with a number.
func (m *manner) apiVersion() string {
	for _, version := range m.versions {
		if strings.Trim(version, "0123456789.") == "" {
			return version
		}
	}
	return ""
}

// appliedAction is the version that the server takes a call for: the one asked
// for where it has it, else its own.
func (m *manner) appliedAction(asked string) string {
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

// relayEnvelope lays the envelope out as a real server does. A body that is not
// the simulator's stays as it is.
func relayEnvelope(body []byte) []byte {
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

// The session cookie of a real server is 40 hexadecimal digits, and not the
// key of the session, which is what the simulator's is. The digits here are the
// key's backwards, behind their checksum, so that nobody has to remember which
// cookie is whose.

func cookieOfKey(key string) (string, bool) {
	digits := []byte(strings.ReplaceAll(key, "-", ""))
	if len(digits) != 32 || len(key) != 36 {
		return "", false
	}
	slices.Reverse(digits)
	return fmt.Sprintf("%08x%s", crc32.ChecksumIEEE(digits), digits), true
}

// keyOfCookie undoes cookieOfKey. It leaves any other value as it is.
func keyOfCookie(value string) string {
	if len(value) != 40 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(value[8:]))) != value[:8] {
		return value
	}
	d := []byte(value[8:])
	slices.Reverse(d)
	return fmt.Sprintf("%s-%s-%s-%s-%s", d[:8], d[8:12], d[12:16], d[16:20], d[20:])
}

// cookieLine writes the simulator's Set-Cookie as a real server does. Over
// plain HTTP it is not Secure: clients would not send it back.
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
