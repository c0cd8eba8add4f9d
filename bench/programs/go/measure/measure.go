// Package measure has what the Go programs of the benchmarks share: arguments of the form key=value, clocks, goroutines
// that begin together, and figures as one line of JSON.
package measure

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// warmUp is how many steps each goroutine makes before anything is measured.
const warmUp = 20

// Figures are what a program prints.
type Figures map[string]any

// Print writes the figures as one line of JSON.
func (f Figures) Print() {
	line, err := json.Marshal(f)
	Check(err)
	fmt.Println(string(line))
}

// Check ends the program if something failed.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Text is the argument of this name, or empty if there is none.
func Text(name string) string {
	for _, argument := range os.Args[2:] {
		if value, ok := strings.CutPrefix(argument, name+"="); ok {
			return value
		}
	}
	return ""
}

// Number is the argument of this name.
func Number(name string, otherwise float64) float64 {
	text := Text(name)
	if text == "" {
		return otherwise
	}
	number, err := strconv.ParseFloat(text, 64)
	Check(err)
	return number
}

// CPU is the user and system time of this process.
func CPU() int64 {
	var usage syscall.Rusage
	Check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// Now is the clock that all programs share, in nanoseconds.
func Now() int64 {
	var now syscall.Timespec
	const clockMonotonic = 1
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		Check(errno)
	}
	return now.Nano()
}

// MemoryKiB is a line of /proc/self/status: VmRSS (resident now) or VmHWM (the most ever).
func MemoryKiB(field string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	Check(err)
	_, after, _ := strings.Cut(string(text), field)
	var kib int64
	fmt.Sscan(after, &kib)
	return kib
}

var stdin = bufio.NewReader(os.Stdin)

// WaitForDriver says to the driver that everything is ready, and waits until it says go.
func WaitForDriver() {
	fmt.Println("ready")
	_, err := stdin.ReadString('\n')
	Check(err)
}

// Crew repeats a step on many goroutines, for a time or a number of steps, and prints the figures.
func Crew(step func()) {
	threads := int(Number("threads", 1))
	seconds := Number("seconds", 0)
	each := int64(Number("count", 1000)) / int64(threads)
	var stop atomic.Bool
	var done atomic.Int64
	var warm, ended sync.WaitGroup
	begin := make(chan struct{})
	warm.Add(threads)
	ended.Add(threads)
	for range threads {
		go func() {
			defer ended.Done()
			for range warmUp {
				step()
			}
			warm.Done()
			<-begin
			var mine int64
			for (seconds > 0 && !stop.Load()) || (seconds == 0 && mine < each) {
				step()
				mine++
			}
			done.Add(mine)
		}()
	}
	warm.Wait()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, wall := CPU(), time.Now()
	close(begin)
	if seconds > 0 {
		time.Sleep(time.Duration(seconds * float64(time.Second)))
		stop.Store(true)
	}
	ended.Wait()
	figures := Figures{"count": done.Load(), "wall_ns": time.Since(wall).Nanoseconds(), "cpu_ns": CPU() - cpu}
	runtime.ReadMemStats(&after)
	figures["allocations"] = after.Mallocs - before.Mallocs
	figures["allocated_bytes"] = after.TotalAlloc - before.TotalAlloc
	figures.Print()
}

// slices is the number of parts into which Tight divides its loop.
const slices = 200

// Tight runs a loop on many goroutines and prints the nanoseconds that one of its rounds took. It times the rounds in
// slices and takes the median slice: one during which the thread lost its core says nothing about the loop.
func Tight(loop func(rounds int)) {
	threads := int(Number("threads", 1))
	rounds := int(Number("count", 1000000)) / slices
	var warm, ended sync.WaitGroup
	var sum atomic.Int64
	begin := make(chan struct{})
	warm.Add(threads)
	ended.Add(threads)
	for range threads {
		go func() {
			defer ended.Done()
			loop(10 * rounds)
			warm.Done()
			<-begin
			times := make([]int64, slices)
			for i := range times {
				start := time.Now()
				loop(rounds)
				times[i] = time.Since(start).Nanoseconds()
			}
			sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
			sum.Add(times[slices/2])
		}()
	}
	warm.Wait()
	close(begin)
	ended.Wait()
	Figures{"count": slices * rounds, "ns": float64(sum.Load()) / float64(threads) / float64(rounds)}.Print()
}

// Expired makes one call on each goroutine after the driver has ended the session on the server, and repeats that.
func Expired(call func()) {
	threads := int(Number("threads", 64))
	trials := int(Number("trials", 5))
	walls := make([]int64, trials)
	var cpu int64
	for trial := range walls {
		WaitForDriver()
		cpuBefore, start := CPU(), time.Now()
		var ended sync.WaitGroup
		ended.Add(threads)
		for range threads {
			go func() {
				defer ended.Done()
				call()
			}()
		}
		ended.Wait()
		walls[trial] = time.Since(start).Nanoseconds()
		cpu += CPU() - cpuBefore
	}
	Figures{"count": trials, "cpu_ns": cpu, "walls_ns": walls}.Print()
}

// Run runs the subcommand that the first argument names.
func Run(commands map[string]func()) {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "usage: %s SUBCOMMAND [key=value ...]\n", os.Args[0])
		os.Exit(1)
	}
	commands[os.Args[1]]()
}
