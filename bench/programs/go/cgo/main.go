// Command cgo uses the library from Go.
package main

/*
#cgo LDFLAGS: -lvsession
#include <stdlib.h>
#include <vsession.h>

static vsession_status current_time(vsession session, vsession_reply **reply, vsession_error **error) {
	static const vsession_soap_call call = {
		.struct_size = sizeof(vsession_soap_call), .method = "CurrentTime", .this_type = "ServiceInstance"};
	return vsession_call(session, &call, NULL, reply, error);
}
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"

	"vsession.dev/bench/measure"
)

var session C.vsession

func check(status C.vsession_status, failure *C.vsession_error) {
	if status != C.VSESSION_OK {
		measure.Check(fmt.Errorf("%s", C.GoString(C.vsession_error_message(failure))))
	}
}

func connect() {
	var config C.vsession_config
	var failure *C.vsession_error
	address := C.CString(os.Getenv("BENCH_URL"))
	defer C.free(unsafe.Pointer(address))
	check(C.vsession_config_new(address, &config, &failure), failure)
	options := [][2]string{{"username", os.Getenv("BENCH_USER")}, {"password", os.Getenv("BENCH_PASSWORD")}}
	if ca := os.Getenv("BENCH_CA"); ca != "" {
		options = append(options, [2]string{"tls.ca_file", ca})
	}
	for _, option := range options {
		name, value := C.CString(option[0]), C.CString(option[1])
		check(C.vsession_config_set(config, name, value, &failure), failure)
		C.free(unsafe.Pointer(name))
		C.free(unsafe.Pointer(value))
	}
	check(C.vsession_open(config, &session, &failure), failure)
	C.vsession_config_free(config)
}

func logIn() {
	var failure *C.vsession_error
	check(C.vsession_login(session, nil, &failure), failure)
}

func logOut() {
	var failure *C.vsession_error
	check(C.vsession_logout(session, nil, &failure), failure)
}

func currentTime() {
	var reply *C.vsession_reply
	var failure *C.vsession_error
	check(C.current_time(session, &reply, &failure), failure)
	if C.GoString(C.vsession_reply_text(reply)) == "" {
		panic("no time in the reply")
	}
	C.vsession_reply_free(reply)
}

func main() {
	measure.Run(map[string]func(){
		"call": func() {
			connect()
			logIn()
			measure.Crew(currentTime)
			logOut()
		},
		"login": func() {
			connect()
			measure.Crew(func() {
				logIn()
				logOut()
			})
		},
		"start": func() {
			connect()
			currentTime()
			measure.Figures{"done_ns": measure.Now()}.Print()
			logOut()
		},
	})
}
