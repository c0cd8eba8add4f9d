package vsession

import (
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSixtyFourGoroutinesShareOneSession(t *testing.T) {
	const goroutines, enough = 64, 10
	sim := startSimulator(t)
	session := sim.open()

	var allCalling, done sync.WaitGroup
	allCalling.Add(goroutines)
	done.Go(func() {
		atOnce(goroutines, func(i int) {
			var calling sync.Once
			ready := func() { calling.Do(allCalling.Done) }
			defer ready()
			if err := session.Login(Options{}); err != nil {
				t.Errorf("login of goroutine %d: %v", i, err)
				return
			}
			before, after, last := 0, 0, uint64(0)
			for deadline := time.Now().Add(patience); after < enough; {
				reply, err := session.Call(CurrentTime, Options{})
				if err != nil {
					t.Errorf("goroutine %d, after %d and %d calls: %v", i, before, after, err)
					return
				}
				if reply.Epoch < last || reply.Epoch > 2 {
					t.Errorf("goroutine %d: a reply of epoch %d after one of %d", i, reply.Epoch, last)
				}
				if last = reply.Epoch; last == 1 {
					before++
				} else {
					after++
				}
				if before == enough {
					ready()
				}
				if time.Now().After(deadline) {
					t.Errorf("goroutine %d: %d calls before the kill, %d after", i, before, after)
					return
				}
			}
		})
	})

	allCalling.Wait()
	if logins := sim.stats().Logins; logins != 1 {
		t.Errorf("%d logins for %d goroutines", logins, goroutines)
	}
	if killed := sim.kill(); killed != 1 {
		t.Errorf("%d sessions killed", killed)
	}
	done.Wait()

	counted := sim.stats()
	if counted.Logins != 2 || counted.LoginFailures != 0 || counted.Sessions != 1 {
		t.Errorf("after the kill: %d logins, %d failed ones, %d sessions",
			counted.Logins, counted.LoginFailures, counted.Sessions)
	}
	if epoch := session.Epoch(); epoch != 2 {
		t.Errorf("epoch %d", epoch)
	}
	sim.close(session)
	if logouts := sim.stats().Logouts; logouts != 1 {
		t.Errorf("%d logouts", logouts)
	}
}

// A caller that learns late of the old session's end must not cause the new one to be replaced.
func TestLateRefusalsDoNotReplaceTheNewSession(t *testing.T) {
	const late = 16
	sim := startSimulator(t)
	session := sim.open()
	if err := session.Login(Options{}); err != nil {
		t.Fatal(err)
	}
	sim.kill()
	sim.addRule(rule{"method": "CurrentTime", "times": late, "delay_after_ms": 500})
	call := func(int) error {
		reply, err := session.Call(CurrentTime, Options{})
		if err == nil && reply.Epoch != 2 {
			t.Errorf("a reply of epoch %d", reply.Epoch)
		}
		return err
	}
	results := callInBackground(t, sim, late, call)
	if err := call(late); err != nil {
		t.Errorf("the call that came first: %v", err)
	}
	for _, result := range results {
		if status := outcome(t, result); status != OK {
			t.Errorf("a late call ended with %v", status)
		}
	}
	if logins := sim.stats().Logins; logins != 2 {
		t.Errorf("%d logins", logins)
	}
	sim.close(session)
}

// identities holds the keys of a session by epoch.
type identities map[uint64]string

// add records a key and reports whether the epoch had the same key before.
func (i identities) add(epoch uint64, key string) bool {
	if known, seen := i[epoch]; seen {
		return known == key
	}
	i[epoch] = key
	return true
}

// reader records what a goroutine saw that read info, epoch and state all the time.
type reader struct {
	seen    identities
	longest map[string]time.Duration
}

// timed runs one read.
func (r *reader) timed(name string, read func()) {
	start := time.Now()
	read()
	r.longest[name] = max(r.longest[name], time.Since(start))
}

func TestReadersNeverSeeAMixtureOfLogins(t *testing.T) {
	const readers, callers = 4, 4
	const kills, slowLogins = 40, 2
	const loginDelay = time.Second
	// A read that waited for a login would take about as long as the login. The limit leaves room for the scheduler.
	const longestRead = loginDelay / 2
	sim := startSimulator(t)
	session := sim.open()
	if err := session.Login(Options{}); err != nil {
		t.Fatal(err)
	}

	var stop atomic.Bool
	var all sync.WaitGroup
	var readsDuringLogin atomic.Int64
	var saw [readers]reader
	for i := range saw {
		all.Go(func() {
			self := reader{identities{}, map[string]time.Duration{}}
			lastEpoch, lastInfo := uint64(0), uint64(0)
			for !stop.Load() {
				var (
					info  Info
					epoch uint64
					state State
					err   error
				)
				self.timed("epoch", func() { epoch = session.Epoch() })
				self.timed("info", func() { info, err = session.Info() })
				self.timed("state", func() { state = session.State() })
				switch {
				case err != nil:
					t.Errorf("info: %v", err)
				case !self.seen.add(info.Epoch, info.Key):
					t.Errorf("epoch %d has the keys %s and %s", info.Epoch, self.seen[info.Epoch], info.Key)
				case info.User != sim.User || info.Key == "":
					t.Errorf("info of user %q with key %q", info.User, info.Key)
				case epoch < lastEpoch || info.Epoch < lastInfo:
					t.Errorf("epoch %d after %d, info of %d after %d", epoch, lastEpoch, info.Epoch, lastInfo)
				case info.Epoch < epoch:
					t.Errorf("info of epoch %d after epoch %d was visible", info.Epoch, epoch)
				}
				switch state {
				case StateActive, StateExpired:
				case StateLoggingIn:
					readsDuringLogin.Add(1)
				default:
					t.Errorf("state %v", state)
				}
				lastEpoch, lastInfo = epoch, info.Epoch
				if t.Failed() {
					break
				}
				time.Sleep(100 * time.Microsecond)
			}
			saw[i] = self
		})
	}
	var replies [callers]map[string]uint64
	for i := range replies {
		replies[i] = map[string]uint64{}
		all.Go(func() {
			for !stop.Load() {
				reply, err := session.Call(CurrentTime, Options{})
				switch statusOf(err) {
				case OK:
					replies[i][reply.OperationID] = reply.Epoch
				case NotAuthenticated:
					// The call met more kills than it repeats.
				default:
					t.Errorf("call: %v", err)
					return
				}
			}
		})
	}

	killAndWait := func() {
		before := session.Epoch()
		if killed := sim.kill(); killed != 1 {
			t.Errorf("%d sessions killed", killed)
		}
		// The session must have carried a call. Otherwise a pause would follow the next kill.
		eventually(t, "a call through the new session", func() bool {
			reply, err := session.Call(CurrentTime, Options{})
			return err == nil && reply.Epoch > before
		})
	}
	func() {
		defer all.Wait()
		defer stop.Store(true)
		for range kills {
			killAndWait()
		}
		readsDuringLogin.Store(0)
		sim.addRule(rule{"method": "Login", "delay_ms": loginDelay.Milliseconds()})
		for range slowLogins {
			killAndWait()
		}
	}()
	// Four readers during a login of one second: there is time for thousands of reads.
	if reads := readsDuringLogin.Load(); reads < 100*slowLogins {
		t.Errorf("%d reads while a login was under way", reads)
	}

	keys := identities{}
	for _, r := range saw {
		for epoch, key := range r.seen {
			if !keys.add(epoch, key) {
				t.Errorf("epoch %d has the keys %s and %s", epoch, keys[epoch], key)
			}
		}
		for name, longest := range r.longest {
			if longest > longestRead {
				t.Errorf("a read of the %s took %v; the limit is %v", name, longest, longestRead)
			}
		}
	}
	epochs := map[string]uint64{}
	for epoch, key := range keys {
		if other, taken := epochs[key]; taken {
			t.Errorf("epochs %d and %d have the same key", epoch, other)
		}
		epochs[key] = epoch
	}
	if logins := sim.stats().Logins; uint64(logins) != session.Epoch() || logins != 1+kills+slowLogins {
		t.Errorf("%d logins, epoch %d, %d kills", logins, session.Epoch(), kills+slowLogins)
	}

	// By the server's log, a reply's epoch is that of the session whose cookie the request carried.
	told := map[string]uint64{}
	for _, r := range replies {
		maps.Copy(told, r)
	}
	compared := 0
	for _, entry := range sim.log() {
		epoch, ok := told[entry.OperationID]
		if key, seen := keys[epoch]; ok && seen && entry.Method == "CurrentTime" && entry.Result == "ok" {
			if compared++; entry.SessionKey != key {
				t.Errorf("a reply of epoch %d came through session %s, not %s", epoch, entry.SessionKey, key)
			}
		}
	}
	if compared < kills {
		t.Errorf("only %d replies of %d could be compared", compared, len(told))
	}
	sim.close(session)
}
