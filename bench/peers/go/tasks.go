// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The programs of bench/park.c: goroutines that wait, very many of them. Each stores what it measured.
var waits = map[string]func(n int, r *waitResult){"park": park, "sleepers": sleepers}

type waitResult struct {
	Bench   string  `json:"bench"`
	Peer    string  `json:"peer"`
	Workers int     `json:"workers"`
	N       int     `json:"n"`
	MS      float64 `json:"ms"`
	Create  float64 `json:"create_ms,omitempty"`
	Wake    float64 `json:"wake_ms,omitempty"`
	Bytes   float64 `json:"bytes_per_task,omitempty"`
	environment
}

func milliseconds(since time.Time) float64 {
	return float64(time.Since(since).Nanoseconds()) / 1e6
}

// What /proc/self/status says of memory, in bytes: pages, and the tables that map them.
func memory() float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer file.Close()
	bytes := 0.0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && (fields[0] == "VmRSS:" || fields[0] == "VmPTE:") {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			bytes += kib * 1024
		}
	}
	return bytes
}

func park(n int, r *waitResult) {
	var waiting atomic.Int64
	var done sync.WaitGroup
	wake := make(chan struct{})

	before := memory()
	start := time.Now()
	done.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			waiting.Add(1)
			<-wake
			done.Done()
		}()
	}
	for waiting.Load() < int64(n) {
		time.Sleep(time.Millisecond)
	}
	r.Create = milliseconds(start)
	r.Bytes = (memory() - before) / float64(n)
	start = time.Now()
	close(wake)
	done.Wait()
	r.Wake = milliseconds(start)
	r.MS = r.Create + r.Wake
}

func sleepers(n int, r *waitResult) {
	var done sync.WaitGroup

	start := time.Now()
	done.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			time.Sleep(time.Second)
			done.Done()
		}()
	}
	done.Wait()
	r.MS = milliseconds(start)
}

func runWait(name string, o options) error {
	r := waitResult{Bench: name, Peer: "go", Workers: o.workers, N: o.n, environment: here()}

	runtime.GOMAXPROCS(o.workers)
	waits[name](o.n, &r)
	return printJSON(r)
}

// The side of bench/hog.c that bench/hog-peer.h describes.

func session(conn net.Conn) {
	buffer := make([]byte, 256)

	for {
		n, err := conn.Read(buffer)
		if err != nil {
			break
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			break
		}
	}
	conn.Close()
}

// Keeps the thread for a slice at a time. It ends with the process.
func hog(kind string, slice time.Duration) {
	for {
		if kind == "block" {
			timeout := syscall.NsecToTimeval(slice.Nanoseconds())
			syscall.Select(0, nil, nil, nil, &timeout)
		} else {
			for start := time.Now(); time.Since(start) < slice; {
			}
		}
		runtime.Gosched()
	}
}

func connection(descriptor string) (net.Conn, error) {
	fd, err := strconv.Atoi(descriptor)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close()
	return net.FileConn(file)
}

func hogSessions(arguments []string) error {
	if len(arguments) < 3 {
		return fmt.Errorf("hog-sessions: KIND SLICE_MS DESCRIPTOR... are missing")
	}
	kind := arguments[0]
	slice, err := strconv.Atoi(arguments[1])
	if err != nil || kind != "spin" && kind != "block" && kind != "none" {
		return fmt.Errorf("hog-sessions: %s %s: not a kind and milliseconds", kind, arguments[1])
	}
	var done sync.WaitGroup

	runtime.GOMAXPROCS(2)
	for _, descriptor := range arguments[2:] {
		conn, err := connection(descriptor)
		if err != nil {
			return err
		}
		done.Add(1)
		go func() {
			session(conn)
			done.Done()
		}()
	}
	if kind != "none" {
		go hog(kind, time.Duration(slice)*time.Millisecond)
	}
	fmt.Println("ready")
	done.Wait()
	return nil
}
