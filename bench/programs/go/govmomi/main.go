// Command govmomi is a program on govmomi, as its users write it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/session/keepalive"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"vsession.dev/bench/measure"
)

var (
	ctx     = context.Background()
	client  *vim25.Client
	manager *session.Manager
	user    *url.Userinfo
)

func connect() {
	client = newClient()
	manager = session.NewManager(client)
}

func newClient() *vim25.Client {
	address, err := soap.ParseURL(os.Getenv("BENCH_URL"))
	measure.Check(err)
	user = url.UserPassword(os.Getenv("BENCH_USER"), os.Getenv("BENCH_PASSWORD"))
	transport := soap.NewClient(address, false)
	if ca := os.Getenv("BENCH_CA"); ca != "" {
		measure.Check(transport.SetRootCAs(ca))
	}
	// Go keeps two idle connections to a host by default; with more goroutines most calls would make a new connection.
	transport.DefaultTransport().MaxIdleConnsPerHost = 100
	transport.DefaultTransport().MaxConnsPerHost = int(measure.Number("max_connections", 0))
	if proxy := measure.Text("proxy"); proxy != "" {
		address, err := url.Parse(proxy)
		measure.Check(err)
		transport.DefaultTransport().Proxy = http.ProxyURL(address)
	}
	made, err := vim25.NewClient(ctx, transport)
	measure.Check(err)
	return made
}

func logIn()  { measure.Check(manager.Login(ctx, user)) }
func logOut() { measure.Check(manager.Logout(ctx)) }

func currentTime() {
	_, err := methods.GetCurrentTime(ctx, client)
	measure.Check(err)
}

func call() {
	connect()
	logIn()
	measure.Crew(currentTime)
	logOut()
}

func login() {
	connect()
	measure.Crew(func() {
		logIn()
		logOut()
	})
}

func start() {
	connect()
	logIn()
	currentTime()
	measure.Figures{"done_ns": measure.Now()}.Print()
	logOut()
}

// expired recovers like programs on govmomi that share a client: take a mutex, ask whether the session lives, and
// log in if it does not.
func expired() {
	connect()
	logIn()
	var mutex sync.Mutex
	measure.Expired(func() {
		for {
			_, err := methods.GetCurrentTime(ctx, client)
			if err == nil {
				return
			}
			if !fault.Is(err, &types.NotAuthenticated{}) {
				measure.Check(err)
			}
			mutex.Lock()
			active, err := manager.UserSession(ctx)
			if err == nil && active == nil {
				err = manager.Login(ctx, user)
			}
			mutex.Unlock()
			measure.Check(err)
		}
	})
	logOut()
}

// alive keeps many sessions alive as govmomi does it: each with its own client and goroutine.
func alive() {
	connect()
	logIn()
	one := measure.MemoryKiB("VmRSS:")
	interval := time.Duration(measure.Number("interval_ms", 10000)) * time.Millisecond
	managers := make([]*session.Manager, int(measure.Number("sessions", 1000)))
	var ended sync.WaitGroup
	for first := range 8 {
		ended.Add(1)
		go func() {
			defer ended.Done()
			for i := first; i < len(managers); i += 8 {
				client := newClient()
				client.RoundTripper = keepalive.NewHandlerSOAP(client.RoundTripper, interval, nil)
				managers[i] = session.NewManager(client)
				measure.Check(managers[i].Login(ctx, user))
			}
		}()
	}
	ended.Wait()
	time.Sleep(time.Duration(measure.Number("settle_ms", 0)) * time.Millisecond)
	measure.WaitForDriver()
	cpu := measure.CPU()
	time.Sleep(time.Duration(measure.Number("window_ms", 10000)) * time.Millisecond)
	spent := measure.CPU() - cpu
	measure.WaitForDriver()
	tasks, err := os.ReadDir("/proc/self/task")
	measure.Check(err)
	files, err := os.ReadDir("/proc/self/fd")
	measure.Check(err)
	measure.Figures{
		"sessions": len(managers), "window_cpu_ns": spent, "most_threads": len(tasks), "fds": len(files),
		"bytes_a_session": 1024 * (measure.MemoryKiB("VmRSS:") - one) / int64(len(managers)),
	}.Print()
	runtime.KeepAlive(managers)
}

func inventory() {
	connect()
	logIn()
	machines, err := view.NewManager(client).CreateContainerView(ctx, client.ServiceContent.RootFolder,
		[]string{"VirtualMachine"}, true)
	measure.Check(err)
	resident := measure.MemoryKiB("VmRSS:")
	cpu, wall := measure.CPU(), time.Now()
	var found []mo.VirtualMachine
	properties := []string{"name", "runtime.powerState", "config.uuid", "config.hardware.memoryMB"}
	measure.Check(machines.Retrieve(ctx, []string{"VirtualMachine"}, properties, &found))
	took := time.Since(wall)
	measure.Figures{
		"count": len(found), "wall_ns": took.Nanoseconds(), "cpu_ns": measure.CPU() - cpu,
		"peak_kib": measure.MemoryKiB("VmHWM:") - resident,
	}.Print()
	logOut()
}

// cancel cancels calls that are stuck. The driver determines the phase; see vsession.c. A large path to look up makes a
// request large.
func cancel() {
	connect()
	stuck := func(bound context.Context) error {
		_, err := methods.GetCurrentTime(bound, client)
		return err
	}
	logIn()
	if measure.Text("occupy") != "" {
		go func() { measure.Check(stuck(ctx)) }()
	}
	if large := int(measure.Number("megabytes", 0)) << 20; large > 0 {
		request := types.FindByInventoryPath{
			This:          *client.ServiceContent.SearchIndex,
			InventoryPath: strings.Repeat(" ", large),
		}
		stuck = func(bound context.Context) error {
			_, err := methods.FindByInventoryPath(bound, client, &request)
			return err
		}
	}
	measure.WaitForDriver()
	latencies := make([]int64, int(measure.Number("trials", 100)))
	wait := time.Duration(measure.Number("wait_ms", 10) * float64(time.Millisecond))
	for i := range latencies {
		bound, fire := context.WithCancel(ctx)
		returned := make(chan time.Time)
		go func() {
			err := stuck(bound)
			now := time.Now()
			// Some errors of net/http contain the text and do not wrap the error.
			if bound.Err() == nil || !errors.Is(err, context.Canceled) && !strings.Contains(fmt.Sprint(err), "cancel") {
				measure.Check(fmt.Errorf("the call was not cancelled: %w", err))
			}
			returned <- now
		}()
		measure.WaitForDriver()
		time.Sleep(wait)
		fired := time.Now()
		fire()
		latencies[i] = (<-returned).Sub(fired).Nanoseconds()
	}
	measure.Figures{"count": len(latencies), "latencies_ns": latencies}.Print()
}

// The state that a program keeps of its session, behind a lock.
var kept = struct {
	sync.RWMutex
	state   int
	session types.UserSession
}{state: 3, session: types.UserSession{Key: "52a1c5a4-8f0e-1f9b-7c3d-0123456789ab", UserName: "administrator@vsphere.local"}}

func state() {
	measure.Tight(func(count int) {
		sum := 0
		for range count {
			kept.RLock()
			sum += kept.state
			kept.RUnlock()
		}
		if sum == 0 {
			panic("no state")
		}
	})
}

func info() {
	measure.Tight(func(count int) {
		sum := 0
		for range count {
			kept.RLock()
			copied := kept.session
			kept.RUnlock()
			sum += len(copied.Key) + len(copied.UserName)
		}
		if sum == 0 {
			panic("no session")
		}
	})
}

func main() {
	measure.Run(map[string]func(){
		"call": call, "login": login, "start": start, "expired": expired, "inventory": inventory, "cancel": cancel,
		"alive": alive, "state": state, "info": info, "get": get, "get-login": getLogin, "upload": upload,
	})
}
