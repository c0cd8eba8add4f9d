package vsession

import (
	"sync/atomic"
	"testing"
)

// Goroutines that call and that make requests share a login for each service, before and after the server has ended both
// sessions.
func TestGoroutinesShareTheSessionsOfBothServices(t *testing.T) {
	const goroutines = 64
	for _, rest := range []struct {
		mode   string
		logins int
	}{{"unified", 1}, {"separate", 2}} {
		t.Run(rest.mode, func(t *testing.T) {
			t.Parallel()
			sim := startSimulator(t, "-like", "8.0.3", "-rest", rest.mode)
			session := sim.open()
			for round := 1; round <= 2; round++ {
				var answered atomic.Int32
				atOnce(goroutines, func(i int) {
					if i%2 == 0 {
						if _, err := session.Call(CurrentTime, Options{}); err != nil {
							t.Errorf("call of goroutine %d: %v", i, err)
						}
						return
					}
					reply, err := session.Get("/api/vcenter/vm", Options{})
					if err != nil || reply.Status != 200 || reply.Body == "" {
						t.Errorf("request of goroutine %d: %+v, %v", i, reply, err)
						return
					}
					answered.Add(1)
				})
				if answered.Load() != goroutines/2 {
					t.Errorf("%d requests answered in round %d", answered.Load(), round)
				}
				counted := sim.stats()
				if counted.Logins != round*rest.logins || counted.LoginFailures != 0 {
					t.Errorf("%d logins and %d failed ones after round %d", counted.Logins, counted.LoginFailures, round)
				}
				if epoch := session.RESTEpoch(); epoch != uint64(round) {
					t.Errorf("REST epoch %d after round %d", epoch, round)
				}
				if round == 1 {
					sim.kill()
				}
			}
			sim.close(session)
		})
	}
}
