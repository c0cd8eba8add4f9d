// Command simulator is the counterpart of vsession's tests: a simulated
// vCenter or ESXi host that counts what clients do and fails on demand.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

type options struct {
	mode, listen, control, user, password string
	dir, endpoints, clientCA              string
	tls, selfSigned, requireClientCert    bool
	tlsMax                                uint16
	sessionTimeout, sessionLife           time.Duration
	vms, logSize, addresses               int
	exitOnEOF, verbose, noneLeft          bool
	settings                              settings
	command                               []string // with it, the program runs for as long as the command
}

func parse(args []string) (*options, error) {
	o := new(options)
	if i := slices.Index(args, "--"); i >= 0 {
		args, o.command = args[:i], args[i+1:]
		if len(o.command) == 0 {
			return nil, fmt.Errorf("no command follows --")
		}
	}
	f := flag.NewFlagSet("simulator", flag.ContinueOnError)
	f.StringVar(&o.mode, "mode", "vpx", "vpx (vCenter) or esx")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address for clients")
	f.IntVar(&o.addresses, "addresses", 1, "how many addresses lead to the server; all but the first have free ports")
	f.StringVar(&o.control, "control", "127.0.0.1:0", "address of the control port")
	f.StringVar(&o.user, "user", "user", "accepted user name")
	f.StringVar(&o.password, "password", "pass", "accepted password")
	f.BoolVar(&o.tls, "tls", true, "serve HTTPS")
	f.StringVar(&o.dir, "dir", "", "directory for cert.pem (default: a temporary one, removed at the end)")
	f.BoolVar(&o.selfSigned, "self-signed", false, "one self-signed certificate instead of an authority and a certificate")
	tlsMax := f.String("tls-max", "", "highest TLS version: 1.2 or 1.3 (default)")
	f.StringVar(&o.clientCA, "client-ca", "", "PEM file: client certificates must be signed by these authorities")
	f.BoolVar(&o.requireClientCert, "require-client-cert", false, "refuse clients without a certificate")
	f.DurationVar(&o.sessionTimeout, "session-timeout", 0, "idle time after which a session ends, 0 for never")
	f.DurationVar(&o.sessionLife, "session-life", 0, "time after which a session that serves REST ends even if it is used, 0 for never")
	f.StringVar(&o.settings.Rest, "rest", "", "how REST is combined with vim25: unified, separate, legacy or none (default: as -like)")
	f.IntVar(&o.vms, "vms", 2, "number of virtual machines")
	f.StringVar(&o.endpoints, "endpoints", "all", `"all" for vim25, sts, lookup, sso admin, pbm, eam, vslm and REST (the latter on vpx only), or "vim"`)
	f.IntVar(&o.logSize, "log", 200000, "requests kept in the log, 0 for none")
	f.BoolVar(&o.exitOnEOF, "exit-on-stdin-eof", false, "end when standard input closes")
	f.BoolVar(&o.noneLeft, "no-sessions-left", os.Getenv("SIMULATOR_NO_SESSIONS_LEFT") != "",
		"with a command: fail when it leaves a session; also by SIMULATOR_NO_SESSIONS_LEFT in the environment")
	f.StringVar(&o.settings.Like, "like", os.Getenv("VSESSION_TEST_LIKE"),
		"format replies as this version of vCenter: "+profileNames()+" (default: VSESSION_TEST_LIKE from the environment, or plain)")
	f.BoolVar(&o.settings.Gzip, "gzip", true, "compress replies if the profile does and the client asks")
	f.StringVar(&o.settings.Chunks, "chunks", chunksWhole, "write a chunked reply in one piece (whole), chunk by chunk (each) or byte by byte (bytes)")
	f.IntVar(&o.settings.ChunkSize, "chunk-size", 0, "bytes of data in a chunk, 0 for the profile's size")
	f.BoolVar(&o.verbose, "verbose", false, "report failed handshakes and the like on standard error")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q (a command follows --)", f.Arg(0))
	}
	if o.exitOnEOF && o.command != nil {
		return nil, fmt.Errorf("-exit-on-stdin-eof does not go with a command, which has the standard input")
	}
	switch *tlsMax {
	case "", "1.3":
	case "1.2":
		o.tlsMax = tls.VersionTLS12
	default:
		return nil, fmt.Errorf("unknown TLS version %q", *tlsMax)
	}
	if o.endpoints != "vim" && o.endpoints != "all" {
		return nil, fmt.Errorf("unknown endpoints %q", o.endpoints)
	}
	if o.endpoints == "vim" || o.mode == "esx" {
		o.settings.Rest = restNone
	}
	if err := o.settings.check(); err != nil {
		return nil, err
	}
	if o.mode == "esx" {
		o.settings.Like = plainProfile // no ESXi host of these versions was recorded
	}
	if o.addresses < 1 {
		return nil, fmt.Errorf("-addresses is 1 or more")
	}
	if o.vms < 0 || o.user == "" || o.password == "" {
		return nil, fmt.Errorf("-vms is not negative, -user and -password are not empty")
	}
	return o, nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("simulator: ")
	o, err := parse(os.Args[1:])
	if err != nil {
		if err == flag.ErrHelp {
			return
		}
		log.Print(err)
		os.Exit(2)
	}
	status, err := run(o)
	if err != nil {
		log.Print(err)
	}
	os.Exit(status)
}

// run returns the status for the end of the program.
func run(o *options) (int, error) {
	if !o.verbose {
		defer log.SetOutput(log.Writer())
		log.SetOutput(io.Discard) // the simulator reports each unknown method
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "vsession-simulator-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	} else if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return 1, err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return 1, err
	}
	o.dir = dir

	// Before the first temporary file, so that none is left behind.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)

	p, err := start(o)
	if err != nil {
		return 1, err
	}
	if o.command != nil {
		return p.runCommand(o.command, signals)
	}
	line, err := json.Marshal(p.announcement())
	if err != nil {
		return 1, err
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		return 1, err // no test can find the simulator
	}

	go func() {
		<-signals
		p.shutdown()
	}()
	if o.exitOnEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			p.shutdown()
		}()
	}
	p.wait()
	return 0, nil
}
