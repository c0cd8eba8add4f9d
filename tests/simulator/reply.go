package main

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// reply is a complete reply, buffered until it is known how to send it. It is
// also the http.ResponseWriter that the simulator writes to.
type reply struct {
	status int
	header http.Header
	body   []byte
	fault  string  // of VI JSON: a fault in a SOAP reply is found in its body
	packed *packed // of the rule whose body it is
}

func newReply() *reply { return &reply{header: make(http.Header)} }

func (r *reply) Header() http.Header { return r.header }

func (r *reply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *reply) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, p...)
	return len(p), nil
}

// result names the outcome for the log and the counters.
func (r *reply) result() (result, fault string) {
	switch {
	case r.fault != "":
		return r.fault, r.fault
	case r.status >= 200 && r.status < 400:
		return "ok", ""
	case r.status == http.StatusInternalServerError:
		if fault = faultName(r.body); fault != "" {
			return fault, fault
		}
	}
	return "http " + strconv.Itoa(r.status), ""
}

// cannedReply builds the reply that a rule supplies instead of the method's.
func cannedReply(rl *rule, c *call) *reply {
	r := newReply()
	r.status = rl.Status
	if rl.Fault != "" && c.vi != nil {
		fault, err := namedFault(rl.Fault, c.vi.this)
		if err != nil {
			panic(err) // the rule was checked
		}
		r.viFault(fault, rl.FaultMessage)
		if rl.Status != 0 {
			r.status = rl.Status
		}
	} else if rl.Fault != "" || rl.FaultXML != "" {
		detail := rl.FaultXML
		if detail == "" {
			var err error
			if detail, err = faultDetail(rl.Fault, c.envelope); err != nil {
				detail = "<!-- " + err.Error() + " -->"
			}
		}
		r.body = faultBody(rl.FaultMessage, detail)
		r.header.Set("Content-Type", "text/xml; charset=utf-8")
		if r.status == 0 {
			r.status = http.StatusInternalServerError
		}
	} else {
		r.body, r.packed = []byte(rl.Body), &rl.packed
	}
	if rl.BodyRepeat > 0 {
		r.body = append(r.body, bytes.Repeat([]byte("x"), int(rl.BodyRepeat))...)
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r
}

// insert puts these bytes before the last tag of the reply, if it has tags.
func (r *reply) insert(more []byte) {
	at := bytes.LastIndexByte(r.body, '<')
	if at < 0 || len(more) == 0 {
		return
	}
	r.body, r.packed = slices.Concat(r.body[:at], more, r.body[at:]), nil
}

// dress applies the rule's changes, headers and encoding.
func (r *reply) dress(rl *rule) {
	r.insert(rl.Insert)
	if rl.Gzip {
		r.compress()
	}
	for name, value := range rl.Headers {
		r.header.Set(name, value)
	}
	if rl.SetCookie != "" {
		r.header.Add("Set-Cookie", rl.SetCookie)
	}
}

func (r *reply) bodyAllowed() bool {
	return r.status != http.StatusNoContent && r.status != http.StatusNotModified
}

// writeHead sends status and headers. Unless chunked, the length is exact.
func (r *reply) writeHead(w http.ResponseWriter, chunked bool) {
	h := w.Header()
	for name, values := range r.header {
		h[name] = values
	}
	h.Del("Content-Length")
	if r.bodyAllowed() && !chunked {
		h.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
}

// send writes the reply unchanged.
func (r *reply) send(w http.ResponseWriter) {
	r.writeHead(w, false)
	if r.bodyAllowed() {
		_, _ = w.Write(r.body)
	}
}

// sendBy writes the reply as the rule requires and reports whether it was sent completely. If not, the caller closes the
// connection.
func (r *reply) sendBy(w http.ResponseWriter, rl *rule, pause func(time.Duration)) bool {
	r.writeHead(w, rl.Chunked)
	if !r.bodyAllowed() {
		return true
	}
	body, whole := r.body, true
	if rl.TruncateAt != nil && *rl.TruncateAt < int64(len(body)) {
		body, whole = body[:*rl.TruncateAt], false
	}
	piece, wait := len(body), time.Duration(0)
	switch {
	case rl.Drip != nil:
		piece, wait = rl.Drip.Bytes, millis(rl.Drip.EveryMs)
	case rl.Chunked:
		piece = len(body)/3 + 1 // several chunks, with boundaries inside elements
	}
	out := http.NewResponseController(w)
	if len(body) == 0 {
		_ = out.Flush()
	}
	for len(body) > 0 {
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return false
		}
		if err := out.Flush(); err != nil {
			return false
		}
		if body = body[n:]; len(body) > 0 && wait > 0 {
			pause(wait)
		}
	}
	return whole
}
