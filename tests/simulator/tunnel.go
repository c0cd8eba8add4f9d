package main

import (
	"io"
	"net"
	"net/http"
)

// startTunnel runs the HTTP CONNECT proxy (port 80 of a real vCenter) through which a client logs in by certificate as
// sdkTunnel:8089. Whatever name the client asks for, it reaches the server's own port.
func startTunnel(host, target string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect {
				http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
				return
			}
			join(w, target)
		}))
	}()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func join(w http.ResponseWriter, target string) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = server.Close()
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	_, _ = io.Copy(server, buffered)
	_ = server.Close()
}
