package vsession

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

const simulatorPath = "../../target/simulator/simulator"

// patience is how long a test waits for what must happen, however slow the machine.
const patience = time.Minute

// simulator is a simulated vCenter in its own process.
type simulator struct {
	t        *testing.T
	URL      string `json:"url"`
	Control  string `json:"control"`
	CAFile   string `json:"ca_file"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// startSimulator starts a simulator that ends with the test.
func startSimulator(t *testing.T, options ...string) *simulator {
	t.Helper()
	command := exec.Command(simulatorPath, append([]string{"-exit-on-stdin-eof", "-dir", t.TempDir()}, options...)...)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	sim := &simulator{t: t}
	t.Cleanup(func() {
		// Everything that a test opened is closed by now; see open.
		if !t.Failed() {
			if left := sim.stats().Sessions; left != 0 {
				t.Errorf("%d sessions left on the server", left)
			}
		}
		stdin.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("the simulator: %v", err)
		}
	})
	if err := json.NewDecoder(stdout).Decode(sim); err != nil {
		t.Fatalf("the simulator's first line: %v", err)
	}
	return sim
}

// ask makes a request to the control port.
func (s *simulator) ask(method, path string, body, answer any) {
	s.t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	if body == nil {
		sent = nil
	}
	request, err := http.NewRequest(method, s.Control+path, bytes.NewReader(sent))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s", method, path, response.Status)
	}
	if answer != nil {
		if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
			s.t.Fatal(err)
		}
	}
}

// stats are the simulator's counters.
type stats struct {
	Logins        int            `json:"logins"`
	LoginFailures int            `json:"login_failures"`
	Logouts       int            `json:"logouts"`
	Killed        int            `json:"killed"`
	Sessions      int            `json:"sessions"`
	InFlight      int            `json:"requests_in_flight"`
	Requests      int            `json:"requests"`
	Calls         map[string]int `json:"calls"`
}

func (s *simulator) stats() (counted stats) {
	s.t.Helper()
	s.ask("GET", "/stats", nil, &counted)
	return counted
}

// kill ends all sessions and returns how many there were.
func (s *simulator) kill() int {
	s.t.Helper()
	var answer struct{ Killed int }
	s.ask("POST", "/sessions/kill", nil, &answer)
	return answer.Killed
}

type rule map[string]any

func (s *simulator) addRule(r rule) {
	s.t.Helper()
	s.ask("POST", "/rules", r, nil)
}

func (s *simulator) deleteRules() {
	s.t.Helper()
	s.ask("DELETE", "/rules", nil, nil)
}

// logged is one completed request.
type logged struct {
	Method      string
	SessionKey  string `json:"session_key"`
	OperationID string `json:"operation_id"`
	Result      string
}

func (s *simulator) log() (entries []logged) {
	s.t.Helper()
	s.ask("GET", "/log", nil, &entries)
	return entries
}

// config makes a configuration for the simulator, with options in pairs of
// name and value.
func (s *simulator) config(options ...string) Config {
	s.t.Helper()
	config, err := NewConfig(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { config.Free() })
	all := append([]string{"username", s.User, "password", s.Password, "tls.ca_file", s.CAFile}, options...)
	for i := 0; i < len(all); i += 2 {
		if err := config.Set(all[i], all[i+1]); err != nil {
			s.t.Fatal(err)
		}
	}
	return config
}

// open opens a session with the simulator. The end of the test closes it if the test does not.
func (s *simulator) open(options ...string) Session {
	s.t.Helper()
	session, err := s.config(options...).Open()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { session.Close() })
	return session
}

// close closes a session and checks that the server keeps nothing of it.
func (s *simulator) close(session Session) {
	s.t.Helper()
	if err := session.Close(); err != nil {
		s.t.Errorf("close: %v", err)
	}
	if left := s.stats().Sessions; left != 0 {
		s.t.Errorf("%d sessions left on the server", left)
	}
}

// atOnce runs f in n goroutines that start together, and waits for them.
func atOnce(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	all.Wait()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// statusOf returns the status of an error.
func statusOf(err error) Status {
	var ours *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &ours):
		return ours.Status
	default:
		panic(fmt.Sprintf("not an error of the library: %v", err))
	}
}

// promptly repeats something that should take less than a limit until it does. A busy machine delays some attempts, a defect
// delays them all.
func promptly(t *testing.T, limit time.Duration, attempt func() time.Duration) {
	t.Helper()
	var late []time.Duration
	for len(late) < 20 {
		took := attempt()
		if took < limit || t.Failed() {
			return
		}
		late = append(late, took)
	}
	t.Errorf("never within %v: %v", limit, late)
}
