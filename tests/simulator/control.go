package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// newControl makes the handler of the control port.
func newControl(p *program) http.Handler {
	mux := http.NewServeMux()

	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, p.report())
	})
	mux.HandleFunc("POST /stats/reset", func(w http.ResponseWriter, _ *http.Request) {
		p.stats.reset()
		answer(w, struct{}{})
	})
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		since, _ := strconv.ParseInt(r.FormValue("since"), 10, 64)
		answer(w, p.journal.since(since))
	})
	mux.HandleFunc("POST /log/reset", func(w http.ResponseWriter, _ *http.Request) {
		p.journal.reset()
		answer(w, struct{}{})
	})

	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, p.account.sessions())
	})
	mux.HandleFunc("POST /sessions/kill", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]int{"killed": p.account.kill(r.URL.Query().Get("key"))})
	})
	mux.HandleFunc("POST /session-timeout", func(w http.ResponseWriter, r *http.Request) {
		setDuration(w, r, "timeout", p.account.setTimeout)
	})
	mux.HandleFunc("POST /session-life", func(w http.ResponseWriter, r *http.Request) {
		setDuration(w, r, "life", p.account.setLife)
	})
	mux.HandleFunc("POST /credentials", func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			User     string `json:"user"`
			Password string `json:"password"`
		}
		if !read(w, r, &req) {
			return
		}
		if req.User == "" || req.Password == "" {
			fail(w, errors.New("user and password are both needed"))
			return
		}
		p.account.setCredentials(req.User, req.Password)
		answer(w, struct{}{})
	})

	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, p.rules.list())
	})
	mux.HandleFunc("POST /rules", func(w http.ResponseWriter, r *http.Request) {
		rl := new(rule)
		if !read(w, r, rl) {
			return
		}
		if err := rl.check(); err != nil {
			fail(w, err)
			return
		}
		answer(w, map[string]int{"id": p.rules.add(rl)})
	})
	mux.HandleFunc("DELETE /rules", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]int{"deleted": p.rules.remove(0)})
	})
	mux.HandleFunc("DELETE /rules/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id <= 0 || p.rules.remove(id) == 0 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			answer(w, map[string]string{"error": "no such rule"})
			return
		}
		answer(w, map[string]int{"deleted": 1})
	})

	mux.HandleFunc("POST /connections/close", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		answer(w, map[string]int{"closed": p.server.closeAll(q.Has("idle"), q.Has("reset"))})
	})
	mux.HandleFunc("POST /connections/limit", func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Max int `json:"max"`
		}
		if !read(w, r, &req) {
			return
		}
		p.server.setLimit(req.Max)
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /wire", func(w http.ResponseWriter, r *http.Request) {
		req := new(wireFault)
		if !read(w, r, req) {
			return
		}
		if err := req.check(); err != nil {
			fail(w, err)
			return
		}
		p.server.setWire(req)
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /profile", func(w http.ResponseWriter, r *http.Request) {
		req := *p.front.settings.Load()
		if !read(w, r, &req) {
			return
		}
		if err := req.check(); err != nil {
			fail(w, err)
			return
		}
		p.front.settings.Store(&req)
		answer(w, req)
	})
	mux.HandleFunc("POST /listener/stop", func(w http.ResponseWriter, _ *http.Request) {
		p.server.stop()
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /listener/start", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.server.start(); err != nil {
			fail(w, err)
			return
		}
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /certificate/rotate", func(w http.ResponseWriter, r *http.Request) {
		var req certificateRequest
		if !read(w, r, &req) {
			return
		}
		prints, err := p.identity.rotate(req)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, prints)
	})
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, p.announcement())
	})
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{})
		p.shutdown()
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func fail(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	answer(w, map[string]string{"error": err.Error()})
}

// setDuration passes on the one duration that the body names.
func setDuration(w http.ResponseWriter, r *http.Request, name string, set func(time.Duration)) {
	var req map[string]string
	if !read(w, r, &req) {
		return
	}
	d, err := time.ParseDuration(req[name])
	if err != nil || d < 0 || len(req) != 1 {
		fail(w, fmt.Errorf(`%s is a duration such as "2s", or "0", and the only member`, name))
		return
	}
	set(d)
	answer(w, struct{}{})
}

// read decodes the body, which may be empty. An unknown field is an error: a
// misspelt rule would otherwise test nothing.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		fail(w, err)
		return false
	}
	return true
}
