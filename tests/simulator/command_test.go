package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func simulatorCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SIMULATOR_TEST_MAIN=1", "TMPDIR="+t.TempDir())
	return cmd
}

func TestCommandFindsTheSimulatorInItsEnvironment(t *testing.T) {
	t.Parallel()
	// The client runs in this test, so the shell keeps the simulator up until its input closes.
	cmd := simulatorCommand(t, "-user", "u@x", "-password", "a:b/c", "--", "sh", "-c", "env | grep ^VSESSION_TEST_; echo end; read -r _")
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
	env := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "end"; {
		name, value, _ := strings.Cut(lines.Text(), "=")
		env[name] = value
	}

	address, err := url.Parse(env["VSESSION_TEST_URL"])
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	if address.Scheme != "https" || address.Path != "/sdk" || address.User.Username() != "u@x" || password != "a:b/c" {
		t.Error(address)
	}
	if env["VSESSION_TEST_USER"] != "u@x" || env["VSESSION_TEST_PASSWORD"] != "a:b/c" || len(env["VSESSION_TEST_THUMBPRINT"]) != 95 {
		t.Error(env)
	}
	pem, err := os.ReadFile(env["VSESSION_TEST_CA"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for _, u := range []string{"https://" + address.Host + "/sdk/vimServiceVersions.xml", env["VSESSION_TEST_CONTROL"] + "/stats"} {
		res, err := client.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Error(u, res.Status)
		}
	}

	in.Close()
	// read fails at the end of its input, which becomes the shell's status.
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Error(err)
	}
	if _, err := os.Stat(env["VSESSION_TEST_CA"]); !os.IsNotExist(err) {
		t.Error("the temporary directory is left behind")
	}
}

func TestCommandStatusIsTheProgramsStatus(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]int{
		"exit 0": 0, "exit 7": 7, "kill -KILL $$": 128 + 9,
	} {
		cmd := simulatorCommand(t, "--", "sh", "-c", command)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want || len(out) > 0 {
			t.Errorf("%s: status %d, wanted %d; output %q", command, got, want, out)
		}
	}
}

func TestCommandThatCannotStartIsNamed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"no-such-program": 127, "/": 126} {
		cmd := simulatorCommand(t, "--", name)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want || !bytes.Contains(out, []byte(name)) {
			t.Errorf("%s: status %d, output %q", name, got, out)
		}
	}
}

func TestCommandGetsSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd := simulatorCommand(t, "--", "sh", "-c", "trap 'exit 42' TERM INT HUP; echo ready; while :; do sleep 0.05; done")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		ended := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		if got := cmd.ProcessState.ExitCode(); got != 42 {
			t.Errorf("%v: status %d", s, got)
		}
	}
}

func TestCommandLineErrors(t *testing.T) {
	for _, args := range [][]string{{"--"}, {"word"}, {"-exit-on-stdin-eof", "--", "true"}} {
		if _, err := parse(args); err == nil {
			t.Error(args)
		}
	}
	o, err := parse([]string{"-mode", "esx", "--", "cmd", "-mode", "vpx", "--"})
	if err != nil || o.mode != "esx" || strings.Join(o.command, " ") != "cmd -mode vpx --" {
		t.Error(o, err)
	}
}

func TestCommandOutlivesAShutdown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mark")
	cmd := simulatorCommand(t, "--", "sh", "-c", `exec 3<>/dev/null; `+
		`python3 -c "import urllib.request,sys; urllib.request.urlopen(sys.argv[1], b'')" $VSESSION_TEST_CONTROL/shutdown && sleep 0.2 && : > `+file+` && exit 9`)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	out, _ := cmd.CombinedOutput()
	if _, err := os.Stat(file); err != nil || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("status %d, %v, %s", cmd.ProcessState.ExitCode(), err, out)
	}
}

func TestCommandCanBeForbiddenToLeaveSessions(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	leave := `python3 -c "import base64, os, urllib.parse, urllib.request
host = urllib.parse.urlsplit(os.environ['VSESSION_TEST_URL']).hostname + ':%d' % urllib.parse.urlsplit(os.environ['VSESSION_TEST_URL']).port
urllib.request.urlopen(urllib.request.Request('http://' + host + '/rest/com/vmware/cis/session', b'',
    {'Authorization': 'Basic ' + base64.b64encode(b'user:pass').decode()}))"`
	for _, c := range []struct {
		flag, command string
		want          int
		says          string
	}{
		{"-no-sessions-left", leave, 1, "left 1 sessions"},
		{"-no-sessions-left", leave + "; exit 7", 7, ""},
		{"-no-sessions-left", "true", 0, ""},
		{"-no-sessions-left=false", leave, 0, ""},
	} {
		cmd := simulatorCommand(t, "-tls=false", c.flag, "--", "sh", "-c", c.command)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != c.want || !strings.Contains(string(out), c.says) {
			t.Errorf("%s %.20s: status %d, output %q", c.flag, c.command, got, out)
		}
	}
}
