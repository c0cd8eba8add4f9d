package vsession

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// duplicate makes a descriptor that Go may own and close. The queue's own is only for waiting.
func duplicate(t *testing.T, fd int) int {
	t.Helper()
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return int(copied)
}

// readable reports whether a descriptor is readable now.
func readable(t *testing.T, fd int) bool {
	t.Helper()
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(epoll)
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := syscall.EpollWait(epoll, make([]syscall.EpollEvent, 1), 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
}

// story makes a session log in, lose its session, get another and close. It returns the expected events.
func story(t *testing.T, sim *simulator, queue Queue) []Event {
	t.Helper()
	config := sim.config()
	if err := config.SetQueue(queue); err != nil {
		t.Fatal(err)
	}
	session, err := config.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer sim.close(session)
	if err := session.Login(Options{}); err != nil {
		t.Error(err)
	}
	sim.kill()
	if _, err := session.Call(CurrentTime, Options{}); err != nil {
		t.Error(err)
	}
	const changed = EventStateChanged
	return []Event{
		{changed, session, StateLoggedOut, StateLoggingIn, ReasonLogin, 0, 0},
		{changed, session, StateLoggingIn, StateActive, ReasonLogin, 0, 1},
		{changed, session, StateActive, StateExpired, ReasonExpired, 1, 1},
		{changed, session, StateExpired, StateLoggingIn, ReasonRelogin, 1, 1},
		{changed, session, StateLoggingIn, StateActive, ReasonRelogin, 1, 2},
		{EventSessionReplaced, session, StateLoggingIn, StateActive, ReasonRelogin, 1, 2},
		{changed, session, StateActive, StateClosed, ReasonClose, 2, 2},
	}
}

func TestQueueDescriptorWorksWithGo(t *testing.T) {
	sim := startSimulator(t)
	queue, err := NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Free()

	// First without a waiting reader: readable exactly while events wait.
	if readable(t, queue.Descriptor()) {
		t.Error("readable without an event")
	}
	expected := story(t, sim, queue)
	for i := range expected {
		if !readable(t, queue.Descriptor()) {
			t.Errorf("not readable with %d events waiting", len(expected)-i)
		}
		if event, err := queue.Next(0); err != nil || event == nil || *event != expected[i] {
			t.Errorf("event %d: %+v, %v instead of %+v", i, event, err, expected[i])
		}
	}
	if event, err := queue.Next(0); err != nil || event != nil || readable(t, queue.Descriptor()) {
		t.Errorf("an unexpected event: %+v, %v", event, err)
	}

	// Then through Go's poller, which parks the goroutine and blocks no thread.
	file := os.NewFile(uintptr(duplicate(t, queue.Descriptor())), "event queue")
	defer file.Close()
	if err := file.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatalf("Go cannot wait for the descriptor: %v", err)
	}
	waiting, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan []Event)
	go func() {
		var events []Event
		wakeups := 0
		err := waiting.Read(func(uintptr) bool {
			wakeups++
			for {
				event, err := queue.Next(0)
				if err != nil || event == nil {
					return err != nil
				}
				if events = append(events, *event); event.New == StateClosed {
					return true
				}
			}
		})
		if err != nil || wakeups < 2 {
			t.Errorf("woken up %d times: %v", wakeups, err)
		}
		told <- events
	}()
	expected = story(t, sim, queue)
	if events := <-told; !slices.Equal(events, expected) {
		t.Errorf("got:\n%+v\nwant:\n%+v", events, expected)
	}
}
