package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the program itself, so that its start and
// end can be tested without building it.
func TestMain(m *testing.M) {
	if os.Getenv("SIMULATOR_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestProcess(t *testing.T) {
	ends := map[string]func(*exec.Cmd, announcement, func() error) error{
		"stdin": func(_ *exec.Cmd, _ announcement, eof func() error) error { return eof() },
		"term":  func(c *exec.Cmd, _ announcement, _ func() error) error { return c.Process.Signal(syscall.SIGTERM) },
		"shutdown": func(_ *exec.Cmd, a announcement, _ func() error) error {
			res, err := http.Post(a.Control+"/shutdown", "", nil)
			if err == nil {
				err = res.Body.Close()
			}
			return err
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0], "-exit-on-stdin-eof", "-dir", filepath.Join(dir, "made"))
			cmd.Env = append(os.Environ(), "SIMULATOR_TEST_MAIN=1", "TMPDIR="+dir)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			line, err := bufio.NewReader(out).ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			var a announcement
			if err := json.Unmarshal(line, &a); err != nil {
				t.Fatal(err)
			}
			if a.PID != cmd.Process.Pid || a.CAFile != filepath.Join(dir, "made", "cert.pem") {
				t.Errorf("%+v", a)
			}
			if err := end(cmd, a, in.Close); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("does not end")
			}
			left, _ := filepath.Glob(filepath.Join(dir, "govcsim-*"))
			if len(left) > 0 {
				t.Error("left behind:", left)
			}
		})
	}
}
