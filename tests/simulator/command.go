package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"syscall"
)

// environment tells a command how to reach the program.
func (a announcement) environment() []string {
	scheme := "http"
	if a.CAFile != "" {
		scheme = "https"
	}
	address := url.URL{Scheme: scheme, User: url.UserPassword(a.User, a.Password), Host: a.Host, Path: "/sdk"}
	return []string{
		"VSESSION_TEST_URL=" + address.String(),
		"VSESSION_TEST_USER=" + a.User,
		"VSESSION_TEST_PASSWORD=" + a.Password,
		"VSESSION_TEST_CA=" + a.CAFile,
		"VSESSION_TEST_THUMBPRINT=" + a.SHA256,
		"VSESSION_TEST_CONTROL=" + a.Control,
	}
}

// runCommand serves while a command runs and returns the command's status, 128
// and the signal's number if a signal ended it, 127 or 126 if it could not be
// started, all as a shell does.
func (p *program) runCommand(args []string, signals <-chan os.Signal) (int, error) {
	stopped := make(chan struct{})
	go func() {
		p.wait()
		close(stopped)
	}()
	defer func() {
		p.shutdown()
		<-stopped
	}()

	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), p.announcement().environment()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return 127, err
		}
		return 126, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			// Not ended here: the command decides what the signal means, and its status counts.
			_ = cmd.Process.Signal(s)
		case err := <-done:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 1, fmt.Errorf("%s: %w", args[0], err)
			}
			if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
				return 128 + int(s.Signal()), nil
			}
			status := cmd.ProcessState.ExitCode()
			if left := p.report().Sessions; status == 0 && p.options.noneLeft && left > 0 {
				return 1, fmt.Errorf("%s left %d sessions", args[0], left)
			}
			return status, nil
		}
	}
}
