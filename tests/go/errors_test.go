package vsession

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestWrongPasswordIsRefusedOnce(t *testing.T) {
	const wrong = "not-the-password"
	sim := startSimulator(t)
	session := sim.open("password", wrong)

	check := func(what string, err error) {
		var refused *Error
		switch {
		case !errors.As(err, &refused) || refused.Status != InvalidLogin:
			t.Errorf("%s: %v", what, err)
		case refused.FaultName != "InvalidLogin":
			t.Errorf("%s: fault %q", what, refused.FaultName)
		case refused.Retriable:
			t.Errorf("%s: is reported as retriable", what)
		case strings.Contains(refused.Message+refused.FaultXML, wrong):
			t.Errorf("%s: the error contains the password", what)
		}
	}
	sentLogins := func() int { return sim.stats().Calls["Login"] }

	atOnce(64, func(i int) {
		for range 3 {
			_, err := session.Call(CurrentTime, Options{})
			check(fmt.Sprintf("call of goroutine %d", i), err)
		}
	})
	if sent := sentLogins(); sent != 1 {
		t.Errorf("the refused password was sent %d times", sent)
	}
	if state := session.State(); state != StateRejected {
		t.Errorf("state %v", state)
	}
	// An explicit login makes one more attempt.
	check("login", session.Login(Options{}))
	_, err := session.Call(CurrentTime, Options{})
	check("call after the login", err)
	counted := sim.stats()
	if sent := sentLogins(); sent != 2 || counted.LoginFailures != 2 || counted.Calls["CurrentTime"] != 0 {
		t.Errorf("%d logins sent, %d refused, %d calls", sent, counted.LoginFailures, counted.Calls["CurrentTime"])
	}
	sim.close(session)
}

// Goroutines move between threads, so an error kept per thread would reach another goroutine. Each goroutine causes its own
// error and looks for it.
func TestErrorsBelongToTheirCaller(t *testing.T) {
	const goroutines, rounds = 64, 10
	sim := startSimulator(t)
	config := sim.config()
	session := sim.open()
	if err := session.Login(Options{}); err != nil {
		t.Fatal(err)
	}

	// The ways to fail, and what each error must contain.
	kinds := []func(mark string) (err error, status Status, holds func(*Error) bool){
		func(mark string) (error, Status, func(*Error) bool) {
			return config.Set("no.such.option."+mark, "1"), InvalidArgument, func(e *Error) bool {
				return strings.Contains(e.Message, "no.such.option."+mark) && e.OperationID == ""
			}
		},
		func(mark string) (error, Status, func(*Error) bool) {
			_, err := session.Call(
				Method{Name: "Reload", ThisType: "VirtualMachine", ThisID: "vm-none-" + mark},
				Options{OperationID: "op-" + mark})
			return err, Fault, func(e *Error) bool {
				return e.FaultName == "ManagedObjectNotFound" && strings.Contains(e.FaultXML, "vm-none-"+mark) &&
					e.OperationID == "op-"+mark && e.HTTPStatus == 500
			}
		},
		func(mark string) (error, Status, func(*Error) bool) {
			_, err := session.Call(Method{Name: "CurrentTime", ThisType: "Nothing" + mark}, Options{})
			return err, InvalidArgument, func(e *Error) bool {
				return strings.Contains(e.Message, "'Nothing"+mark+"'") && e.FaultName == ""
			}
		},
		func(mark string) (error, Status, func(*Error) bool) {
			_, err := NewConfig("https://[" + mark)
			return err, InvalidArgument, func(e *Error) bool { return e.FaultXML == "" && e.Message != "" }
		},
		func(mark string) (error, Status, func(*Error) bool) {
			return session.Login(Options{}), OK, nil
		},
	}
	atOnce(goroutines, func(i int) {
		for round := range rounds {
			mark := fmt.Sprintf("%d.%d.x", i, round)
			err, status, holds := kinds[(i+round)%len(kinds)](mark)
			if got := statusOf(err); got != status {
				t.Errorf("%s: %v instead of %v", mark, err, status)
				continue
			}
			var own *Error
			if errors.As(err, &own) && !holds(own) {
				t.Errorf("%s got another's error: %+v", mark, own)
			}
		}
	})
	sim.close(session)
}

func TestDeadHandlesAreErrors(t *testing.T) {
	sim := startSimulator(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	session, config := sim.open(), sim.config()
	token, err := NewToken()
	must(err)
	queue, err := NewQueue()
	must(err)
	living := sim.open()
	livingConfig := sim.config()
	must(session.Login(Options{}))
	must(living.Login(Options{}))
	must(session.Close())
	must(config.Free())
	must(token.Free())
	must(queue.Free())
	requests := sim.stats().Requests

	call := func(s Session, o Options) error { _, err := s.Call(CurrentTime, o); return err }
	info := func(s Session) error { _, err := s.Info(); return err }
	open := func(c Config) error { _, err := c.Open(); return err }
	next := func(q Queue) error { _, err := q.Next(0); return err }
	madeUp, otherKind := madeUpSession(0xdead_beef_dead_beef), madeUpSession(livingConfig.number())
	cases := []struct {
		name   string
		use    func() error
		status Status
	}{
		{"login of a closed session", func() error { return session.Login(Options{}) }, Closed},
		{"logout of a closed session", func() error { return session.Logout(Options{}) }, Closed},
		{"call of a closed session", func() error { return call(session, Options{}) }, Closed},
		{"info of a closed session", func() error { return info(session) }, Closed},
		{"second close", func() error { return session.Close() }, OK},
		{"login of the null session", func() error { return Session{}.Login(Options{}) }, InvalidHandle},
		{"call of the null session", func() error { return call(Session{}, Options{}) }, InvalidHandle},
		{"close of the null session", func() error { return Session{}.Close() }, OK},
		{"call of a made-up session", func() error { return call(madeUp, Options{}) }, InvalidHandle},
		{"close of a made-up session", func() error { return madeUp.Close() }, InvalidHandle},
		{"info of a configuration", func() error { return info(otherKind) }, InvalidHandle},
		{"close of a configuration", func() error { return otherKind.Close() }, InvalidHandle},
		{"opening a freed configuration", func() error { return open(config) }, Closed},
		{"setting in a freed configuration", func() error { return config.Set("locale", "en") }, Closed},
		{"second free of a configuration", func() error { return config.Free() }, Closed},
		{"opening the null configuration", func() error { return open(Config{}) }, InvalidHandle},
		{"free of the null configuration", func() error { return Config{}.Free() }, OK},
		{"firing a freed token", func() error { return token.Fire() }, Closed},
		{"resetting a freed token", func() error { return token.Reset() }, Closed},
		{"second free of a token", func() error { return token.Free() }, Closed},
		{"firing the null token", func() error { return Token{}.Fire() }, InvalidHandle},
		{"call with a freed token", func() error { return call(living, Options{Cancel: token}) }, InvalidArgument},
		{"event of a freed queue", func() error { return next(queue) }, Closed},
		{"second free of a queue", func() error { return queue.Free() }, Closed},
		{"event of the null queue", func() error { return next(Queue{}) }, InvalidHandle},
		{"configuring a freed queue", func() error { return livingConfig.SetQueue(queue) }, InvalidArgument},
	}
	atOnce(16, func(int) {
		for _, c := range cases {
			if got := statusOf(c.use()); got != c.status {
				t.Errorf("%s: %v instead of %v", c.name, got, c.status)
			}
		}
		for s, state := range map[Session]State{
			session: StateClosed, living: StateActive, {}: StateInvalid, madeUp: StateInvalid, otherKind: StateInvalid,
		} {
			if got := s.State(); got != state {
				t.Errorf("session %x is %v, not %v", s, got, state)
			}
		}
		if epoch := session.Epoch(); epoch != 0 {
			t.Errorf("epoch %d of a closed session", epoch)
		}
		if fd := queue.Descriptor(); fd != -1 {
			t.Errorf("descriptor %d of a freed queue", fd)
		}
	})
	if sent := sim.stats().Requests - requests; sent != 0 {
		t.Errorf("%d requests were made with dead handles", sent)
	}

	// Many goroutines close one session while others use it.
	var racing sync.WaitGroup
	for range 8 {
		racing.Go(func() {
			for statusOf(call(living, Options{})) == OK {
			}
			if got := statusOf(call(living, Options{})); got != Closed {
				t.Errorf("call after the close: %v", got)
			}
		})
		racing.Go(func() {
			if err := living.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	racing.Wait()
	sim.close(living)
}
