// Package vsession uses libvsession from Go. It is the thin wrapper that a Go
// program would write: handles are values, errors come from the out-parameter
// of the very call that failed, and nothing is kept per thread.
package vsession

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -L${SRCDIR}/../../target/release -lvsession -Wl,-rpath,${SRCDIR}/../../target/release
#include <stdlib.h>
#include <vsession.h>
*/
import "C"

import (
	"context"
	"fmt"
	"time"
	"unsafe"
)

// Status is the outcome of a call.
type Status int32

// The statuses that the tests name.
const (
	OK               Status = C.VSESSION_OK
	InvalidArgument  Status = C.VSESSION_E_INVALID_ARGUMENT
	InvalidHandle    Status = C.VSESSION_E_INVALID_HANDLE
	Closed           Status = C.VSESSION_E_CLOSED
	Cancelled        Status = C.VSESSION_E_CANCELLED
	TimedOut         Status = C.VSESSION_E_TIMEOUT
	InvalidLogin     Status = C.VSESSION_E_INVALID_LOGIN
	NotAuthenticated Status = C.VSESSION_E_NOT_AUTHENTICATED
	Fault            Status = C.VSESSION_E_FAULT
)

func (s Status) String() string { return C.GoString(C.vsession_status_name(C.int32_t(s))) }

// State is the state of a session.
type State int32

// The states of a session.
const (
	StateInvalid   State = C.VSESSION_STATE_INVALID
	StateLoggedOut State = C.VSESSION_STATE_LOGGED_OUT
	StateLoggingIn State = C.VSESSION_STATE_LOGGING_IN
	StateActive    State = C.VSESSION_STATE_ACTIVE
	StateExpired   State = C.VSESSION_STATE_EXPIRED
	StateRejected  State = C.VSESSION_STATE_REJECTED
	StateClosed    State = C.VSESSION_STATE_CLOSED
)

func (s State) String() string { return C.GoString(C.vsession_state_name(C.int32_t(s))) }

// Reason is the reason for a change of state.
type Reason int32

// The reasons that the tests name.
const (
	ReasonLogin   Reason = C.VSESSION_REASON_LOGIN
	ReasonRelogin Reason = C.VSESSION_REASON_RELOGIN
	ReasonExpired Reason = C.VSESSION_REASON_EXPIRED
	ReasonClose   Reason = C.VSESSION_REASON_CLOSE
)

func (r Reason) String() string { return C.GoString(C.vsession_reason_name(C.int32_t(r))) }

// The kinds of events.
const (
	EventStateChanged    = C.VSESSION_EVENT_STATE_CHANGED
	EventSessionReplaced = C.VSESSION_EVENT_SESSION_REPLACED
)

// Error is a failed call's own copy of its error.
type Error struct {
	Status      Status
	Message     string
	FaultName   string
	FaultXML    string
	OperationID string
	HTTPStatus  int
	Retriable   bool
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.Status, e.Message) }

// result turns a status and the error behind the out-parameter into a Go
// error, and frees the latter.
func result(status C.vsession_status, err *C.vsession_error) error {
	if status == C.VSESSION_OK && err == nil {
		return nil
	}
	defer C.vsession_error_free(err)
	if inside := C.vsession_error_status(err); inside != status {
		return fmt.Errorf("returned %v with an error that says %v", Status(status), Status(inside))
	}
	return &Error{
		Status:      Status(status),
		Message:     C.GoString(C.vsession_error_message(err)),
		FaultName:   C.GoString(C.vsession_error_fault_name(err)),
		FaultXML:    C.GoString(C.vsession_error_fault_xml(err)),
		OperationID: C.GoString(C.vsession_error_operation_id(err)),
		HTTPStatus:  int(C.vsession_error_http_status(err)),
		Retriable:   bool(C.vsession_error_retriable(err)),
	}
}

// bare is for functions that return a status and no error.
func bare(status C.vsession_status) error {
	if status == C.VSESSION_OK {
		return nil
	}
	return &Error{Status: Status(status)}
}

// Config is a configuration.
type Config struct{ handle C.vsession_config }

// NewConfig makes a configuration for the server at url.
func NewConfig(url string) (Config, error) {
	cURL := C.CString(url)
	defer C.free(unsafe.Pointer(cURL))
	var config Config
	var err *C.vsession_error
	status := C.vsession_config_new(cURL, &config.handle, &err)
	return config, result(status, err)
}

// Set sets an option.
func (c Config) Set(name, value string) error {
	cName, cValue := C.CString(name), C.CString(value)
	defer C.free(unsafe.Pointer(cName))
	defer C.free(unsafe.Pointer(cValue))
	var err *C.vsession_error
	status := C.vsession_config_set(c.handle, cName, cValue, &err)
	return result(status, err)
}

// SetQueue sends the events of later sessions to the queue.
func (c Config) SetQueue(queue Queue) error {
	var err *C.vsession_error
	status := C.vsession_config_set_queue(c.handle, queue.handle, &err)
	return result(status, err)
}

// Free frees the configuration.
func (c Config) Free() error { return bare(C.vsession_config_free(c.handle)) }

// Open opens a session with a copy of the configuration.
func (c Config) Open() (Session, error) {
	var session Session
	var err *C.vsession_error
	status := C.vsession_open(c.handle, &session.handle, &err)
	return session, result(status, err)
}

// Token is a cancellation token.
type Token struct{ handle C.vsession_cancel }

// NewToken makes a token.
func NewToken() (Token, error) {
	var token Token
	var err *C.vsession_error
	status := C.vsession_cancel_new(&token.handle, &err)
	return token, result(status, err)
}

// Fire ends the calls that use the token.
func (t Token) Fire() error { return bare(C.vsession_cancel_fire(t.handle)) }

// Reset makes a token that fired usable again.
func (t Token) Reset() error { return bare(C.vsession_cancel_reset(t.handle)) }

// Free frees the token.
func (t Token) Free() error { return bare(C.vsession_cancel_free(t.handle)) }

// Options are the options of a call. The zero value holds the defaults.
type Options struct {
	Timeout     time.Duration
	Cancel      Token
	OperationID string
}

// cStrings holds C strings to be freed together.
type cStrings []unsafe.Pointer

func (s *cStrings) add(text string) *C.char {
	if text == "" {
		return nil
	}
	c := C.CString(text)
	*s = append(*s, unsafe.Pointer(c))
	return c
}

func (s *cStrings) free() {
	for _, c := range *s {
		C.free(c)
	}
}

func (o Options) c(s *cStrings) *C.vsession_call_options {
	return &C.vsession_call_options{
		struct_size:  C.sizeof_vsession_call_options,
		timeout_ms:   C.uint32_t(o.Timeout.Milliseconds()),
		cancel:       o.Cancel.handle,
		operation_id: s.add(o.OperationID),
	}
}

// Method is a call of a vim25 method.
type Method struct {
	Name, ThisType, ThisID, Arguments string
}

// CurrentTime is the cheapest call that needs a session.
var CurrentTime = Method{Name: "CurrentTime", ThisType: "ServiceInstance"}

// Reply is the reply to a call.
type Reply struct {
	Text, XML, OperationID string
	Epoch                  uint64
}

// Session is a session that any number of goroutines share.
type Session struct{ handle C.vsession }

// Login logs in.
func (s Session) Login(options Options) error {
	var texts cStrings
	defer texts.free()
	var err *C.vsession_error
	status := C.vsession_login(s.handle, options.c(&texts), &err)
	return result(status, err)
}

// Logout logs out.
func (s Session) Logout(options Options) error {
	var texts cStrings
	defer texts.free()
	var err *C.vsession_error
	status := C.vsession_logout(s.handle, options.c(&texts), &err)
	return result(status, err)
}

// Close ends the session for good.
func (s Session) Close() error {
	var err *C.vsession_error
	status := C.vsession_close(s.handle, nil, &err)
	return result(status, err)
}

// Call calls a method.
func (s Session) Call(method Method, options Options) (Reply, error) {
	var texts cStrings
	defer texts.free()
	call := C.vsession_soap_call{
		struct_size: C.sizeof_vsession_soap_call,
		method:      texts.add(method.Name),
		this_type:   texts.add(method.ThisType),
		this_id:     texts.add(method.ThisID),
		arguments:   texts.add(method.Arguments),
	}
	var reply *C.vsession_reply
	var err *C.vsession_error
	status := C.vsession_call(s.handle, &call, options.c(&texts), &reply, &err)
	if status != C.VSESSION_OK || err != nil {
		return Reply{}, result(status, err)
	}
	defer C.vsession_reply_free(reply)
	var length C.size_t
	xml := C.vsession_reply_xml(reply, &length)
	return Reply{
		Text:        C.GoString(C.vsession_reply_text(reply)),
		XML:         C.GoStringN(xml, C.int(length)),
		OperationID: C.GoString(C.vsession_reply_operation_id(reply)),
		Epoch:       uint64(C.vsession_reply_epoch(reply)),
	}, nil
}

// CallContext calls a method and gives up when the context is done.
func (s Session) CallContext(ctx context.Context, method Method) (Reply, error) {
	token, err := NewToken()
	if err != nil {
		return Reply{}, err
	}
	defer token.Free()
	// It may still fire after the token is freed, which is a harmless error.
	stop := context.AfterFunc(ctx, func() { token.Fire() })
	defer stop()
	return s.Call(method, Options{Cancel: token})
}

// HTTPReply is the answer to an HTTP request.
type HTTPReply struct {
	Status int
	Body   string
	Epoch  uint64
}

// Get requests a path through the REST session.
func (s Session) Get(path string, options Options) (HTTPReply, error) {
	var texts cStrings
	defer texts.free()
	request := C.vsession_http_request{
		struct_size: C.sizeof_vsession_http_request,
		method:      texts.add("GET"),
		path:        texts.add(path),
		through:     C.VSESSION_THROUGH_REST,
	}
	var reply *C.vsession_reply
	var err *C.vsession_error
	status := C.vsession_http(s.handle, &request, options.c(&texts), &reply, &err)
	if status != C.VSESSION_OK || err != nil {
		return HTTPReply{}, result(status, err)
	}
	defer C.vsession_reply_free(reply)
	var length C.size_t
	body := C.vsession_reply_body(reply, &length)
	return HTTPReply{
		Status: int(C.vsession_reply_http_status(reply)),
		Body:   C.GoStringN((*C.char)(body), C.int(length)),
		Epoch:  uint64(C.vsession_reply_epoch(reply)),
	}, nil
}

// RESTEpoch returns how many REST sessions there have been. It makes no request.
func (s Session) RESTEpoch() uint64 { return uint64(C.vsession_get_rest_epoch(s.handle)) }

// State returns the state of the session. It makes no request.
func (s Session) State() State { return State(C.vsession_get_state(s.handle)) }

// Epoch returns how many logins the session has had. It makes no request.
func (s Session) Epoch() uint64 { return uint64(C.vsession_get_epoch(s.handle)) }

// Info is one login's identity.
type Info struct {
	Epoch     uint64
	Key, User string
}

// Info returns who is logged in. It makes no request.
func (s Session) Info() (Info, error) {
	var info *C.vsession_info
	var err *C.vsession_error
	status := C.vsession_get_info(s.handle, &info, &err)
	if status != C.VSESSION_OK || err != nil {
		return Info{}, result(status, err)
	}
	defer C.vsession_info_free(info)
	return Info{
		Epoch: uint64(C.vsession_info_epoch(info)),
		Key:   C.GoString(C.vsession_info_key(info)),
		User:  C.GoString(C.vsession_info_user_name(info)),
	}, nil
}

// Queue is a queue of events.
type Queue struct{ handle C.vsession_queue }

// NewQueue makes a queue.
func NewQueue() (Queue, error) {
	var queue Queue
	var err *C.vsession_error
	status := C.vsession_queue_new(&queue.handle, &err)
	return queue, result(status, err)
}

// Descriptor is readable while events wait; it is -1 if there is no such queue.
func (q Queue) Descriptor() int { return int(C.vsession_queue_fd(q.handle)) }

// Event is something that happened to a session.
type Event struct {
	Kind               int
	Session            Session
	Old, New           State
	Reason             Reason
	OldEpoch, NewEpoch uint64
}

// Next takes the oldest event. It is nil when none came in time.
func (q Queue) Next(timeout time.Duration) (*Event, error) {
	var event *C.vsession_event
	var err *C.vsession_error
	status := C.vsession_queue_next(q.handle, C.uint32_t(timeout.Milliseconds()), &event, &err)
	if status != C.VSESSION_OK || err != nil {
		return nil, result(status, err)
	}
	if event == nil {
		return nil, nil
	}
	defer C.vsession_event_free(event)
	return &Event{
		Kind:     int(C.vsession_event_get_kind(event)),
		Session:  Session{C.vsession_event_session(event)},
		Old:      State(C.vsession_event_old_state(event)),
		New:      State(C.vsession_event_new_state(event)),
		Reason:   Reason(C.vsession_event_reason(event)),
		OldEpoch: uint64(C.vsession_event_old_epoch(event)),
		NewEpoch: uint64(C.vsession_event_new_epoch(event)),
	}, nil
}

// Free frees the queue.
func (q Queue) Free() error { return bare(C.vsession_queue_free(q.handle)) }

// madeUpSession is a handle that the library never issued, or one of another kind.
func madeUpSession(id uint64) Session { return Session{C.vsession{id: C.uint64_t(id)}} }

// number is the number inside a handle, for use as a handle of another kind.
func (c Config) number() uint64 { return uint64(c.handle.id) }
