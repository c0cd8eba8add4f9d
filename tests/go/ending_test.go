package vsession

import (
	"context"
	"slices"
	"testing"
	"time"
)

// callInBackground makes n calls in their own goroutines and returns when all have reached the server. Each sends its result
// to a channel.
func callInBackground(t *testing.T, sim *simulator, n int, call func(i int) error) []chan error {
	t.Helper()
	before := sim.stats().Calls[CurrentTime.Name]
	results := make([]chan error, n)
	for i := range results {
		results[i] = make(chan error, 1)
		go func() { results[i] <- call(i) }()
	}
	eventually(t, "the server has the calls", func() bool {
		return sim.stats().Calls[CurrentTime.Name] >= before+n
	})
	return results
}

// outcome waits for a call's result.
func outcome(t *testing.T, result <-chan error) Status {
	t.Helper()
	select {
	case err := <-result:
		return statusOf(err)
	case <-time.After(patience):
		t.Fatal("the call did not end")
		panic("unreachable")
	}
}

func TestCloseDuringCallsEndsThem(t *testing.T) {
	const calls = 32
	sim := startSimulator(t)
	promptly(t, time.Second, func() time.Duration {
		sim.deleteRules()
		sim.ask("POST", "/stats/reset", nil, nil)
		session := sim.open()
		if err := session.Login(Options{}); err != nil {
			t.Fatal(err)
		}
		sim.addRule(rule{"method": "CurrentTime", "hang": true})
		results := callInBackground(t, sim, calls, func(int) error {
			_, err := session.Call(CurrentTime, Options{})
			return err
		})

		start := time.Now()
		sim.close(session)
		for _, result := range results {
			if status := outcome(t, result); status != Closed {
				t.Errorf("a call ended with %v", status)
			}
		}
		took := time.Since(start)
		if state := session.State(); state != StateClosed {
			t.Errorf("state %v", state)
		}
		counted := sim.stats()
		if counted.Logins != 1 || counted.Logouts != 1 {
			t.Errorf("%d logins, %d logouts", counted.Logins, counted.Logouts)
		}
		return took
	})
}

func TestCloseDuringALoginLeavesNoSession(t *testing.T) {
	const goroutines = 16
	for _, when := range []string{"delay_ms", "delay_after_ms"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t)
			session := sim.open()
			sim.addRule(rule{"method": "Login", when: 1000})
			results := make(chan error, goroutines)
			for range goroutines {
				go func() { results <- session.Login(Options{}) }()
			}
			eventually(t, "the server has the login", func() bool { return sim.stats().Calls["Login"] == 1 })

			if state := session.State(); state != StateLoggingIn {
				t.Fatalf("state %v: the login ended before the close", state)
			}
			if err := session.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			for range goroutines {
				if status := outcome(t, results); status != Closed {
					t.Errorf("a login ended with %v", status)
				}
			}
			// The server completes a login even if nobody waits for it.
			eventually(t, "the server has completed the login", func() bool { return sim.stats().InFlight == 0 })
			counted := sim.stats()
			if counted.Sessions != 0 || counted.Logins != counted.Logouts {
				t.Errorf("%d sessions left on the server of %d, %d logged out",
					counted.Sessions, counted.Logins, counted.Logouts)
			}
		})
	}
}

func TestCancelEndsACallFromAnotherGoroutine(t *testing.T) {
	const calls = 8
	const atOnceMeans = 50 * time.Millisecond
	sim := startSimulator(t)
	session := sim.open()
	if err := session.Login(Options{}); err != nil {
		t.Fatal(err)
	}
	sim.addRule(rule{"method": "CurrentTime", "hang": true})
	promptly(t, atOnceMeans, func() time.Duration {
		var cancels [calls]context.CancelFunc
		var took [calls]time.Duration
		var contexts [calls]context.Context
		for i := range calls {
			contexts[i], cancels[i] = context.WithCancel(context.Background())
		}
		results := callInBackground(t, sim, calls, func(i int) error {
			_, err := session.CallContext(contexts[i], CurrentTime)
			return err
		})
		for i, cancel := range cancels {
			start := time.Now()
			cancel()
			status := outcome(t, results[i])
			took[i] = time.Since(start)
			if status != Cancelled {
				t.Errorf("call %d ended with %v", i, status)
			}
			for j := i + 1; j < calls; j++ {
				if len(results[j]) != 0 {
					t.Errorf("call %d ended with the token of call %d", j, i)
				}
			}
		}
		return slices.Max(took[:])
	})

	// A token that has fired ends a call before it is sent, until it is reset.
	sim.deleteRules()
	token, err := NewToken()
	if err != nil {
		t.Fatal(err)
	}
	defer token.Free()
	before := sim.stats().Requests
	for _, step := range []struct {
		do     func() error
		status Status
	}{
		{token.Fire, Cancelled},
		{token.Reset, OK},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Call(CurrentTime, Options{Cancel: token}); statusOf(err) != step.status {
			t.Errorf("call: %v instead of %v", err, step.status)
		}
	}
	if sent := sim.stats().Requests - before; sent != 1 {
		t.Errorf("%d requests for one call that was not cancelled", sent)
	}
	if logins := sim.stats().Logins; logins != 1 {
		t.Errorf("%d logins: a cancelled call says nothing about the session", logins)
	}
	sim.close(session)
}
