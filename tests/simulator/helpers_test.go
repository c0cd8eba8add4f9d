package main

import (
	"fmt"
	"strconv"
	"time"
)

// patience is how long a test waits for what must happen, however slow the machine.
const patience = time.Minute

// eventually waits until a condition holds.
func (b *bench) eventually(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func typeName(v any) string { return fmt.Sprintf("%T", v) }
