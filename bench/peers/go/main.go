// SPDX-License-Identifier: MIT

// go-peer measures on goroutines what whorl-bench measures on tasks and forks, and prints the same JSON.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	runs, warmup, workers, iterations, n int
}

// How repeated measurements lie: the ns of one operation.
type spread struct {
	Median float64 `json:"ns_per_op"`
	Min    float64 `json:"ns_per_op_min"`
	Max    float64 `json:"ns_per_op_max"`
}

type environment struct {
	Commit    string `json:"commit"`
	Kernel    string `json:"kernel"`
	Allocator string `json:"allocator"`
	Compiler  string `json:"compiler"`
	CPU       string `json:"cpu"`
}

type result struct {
	Bench      string `json:"bench"`
	Workers    int    `json:"workers"`
	Runs       int    `json:"runs"`
	Iterations int    `json:"iterations"`
	spread
	environment
}

// Two goroutines for each worker that yield to each other: the ns of a worker's time for each yield.
func yieldNS(o options) float64 {
	var done sync.WaitGroup

	start := time.Now()
	for i := 0; i < 2*o.workers; i++ {
		done.Add(1)
		go func() {
			for i := 0; i < o.iterations; i++ {
				runtime.Gosched()
			}
			done.Done()
		}()
	}
	done.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(o.iterations) / 2
}

// A goroutine started, suspended once and waited for, one at a time: the ns for each.
func spawnNS(o options) float64 {
	results := make(chan int)

	start := time.Now()
	for i := 0; i < o.iterations; i++ {
		go func() {
			runtime.Gosched()
			results <- i
		}()
		<-results
	}
	return float64(time.Since(start).Nanoseconds()) / float64(o.iterations)
}

func kernel() string {
	var system syscall.Utsname
	var name strings.Builder

	if syscall.Uname(&system) != nil {
		return "unknown"
	}
	for _, c := range system.Release {
		if c == 0 {
			break
		}
		name.WriteByte(byte(c))
	}
	return name.String()
}

func cpu() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func here() environment {
	return environment{commit, kernel(), "go", runtime.Version(), cpu()}
}

// The spread of what `once` returns, divided by `scale`.
func measure(o options, scale float64, once func() float64) spread {
	samples := make([]float64, o.runs)

	runtime.GOMAXPROCS(o.workers)
	for i := 0; i < o.warmup; i++ {
		once()
	}
	for i := range samples {
		samples[i] = once() / scale
	}
	sort.Float64s(samples)
	return spread{(samples[(o.runs-1)/2] + samples[o.runs/2]) / 2, samples[0], samples[o.runs-1]}
}

func printJSON(value any) error {
	line, err := json.Marshal(value)
	if err == nil {
		_, err = fmt.Println(string(line))
	}
	return err
}

func run(name string, o options) error {
	if once, known := loops[name]; known {
		ns := measure(o, 1, func() float64 { return once(o) })
		return printJSON(result{"go-" + name, o.workers, o.runs, o.iterations, ns, here()})
	}
	if _, known := waits[name]; known {
		return runWait(name, o)
	}
	return runForkJoin(name, o)
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go-peer yield|spawn|channel|stream|select|mutex|mutex-contended|scope|cancel [-runs N] [-warmup N] [-workers N]"+
		" [-iterations N]\n"+
		"       go-peer fib|skynet|nqueens [-runs N] [-warmup N] [-workers N] [-n N]\n"+
		"       go-peer park|sleepers [-workers N] [-n N]\n"+
		"       go-peer hog-sessions KIND SLICE_MS DESCRIPTOR...")
}

var loops = map[string]func(options) float64{
	"yield": yieldNS, "spawn": spawnNS, "channel": channelNS, "stream": streamNS, "select": selectNS,
	"mutex": mutexNS, "mutex-contended": mutexContendedNS, "scope": scopeNS, "cancel": cancelNS,
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
}

func main() {
	var o options

	flags := flag.NewFlagSet("go-peer", flag.ExitOnError)
	flags.Usage = func() { usage(); flags.PrintDefaults() }
	flags.IntVar(&o.runs, "runs", 5, "measurements, whose median counts")
	flags.IntVar(&o.warmup, "warmup", 1, "measurements before those")
	flags.IntVar(&o.workers, "workers", 1, "OS threads that run goroutines")
	flags.IntVar(&o.iterations, "iterations", 1000000, "yields or locks of each goroutine, or goroutines, items, selects")
	flags.IntVar(&o.n, "n", 0, "the size of what is measured; 0: what each takes by itself")
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	if strings.HasPrefix(os.Args[1], "-h") || os.Args[1] == "--help" {
		flags.SetOutput(os.Stdout)
		usage()
		flags.PrintDefaults()
		return
	}
	if os.Args[1] == "hog-sessions" {
		exitOn(hogSessions(os.Args[2:]))
		return
	}
	flags.Parse(os.Args[2:])
	_, loop := loops[os.Args[1]]
	program, forks := forkJoins[os.Args[1]]
	_, wait := waits[os.Args[1]]
	if o.n == 0 {
		o.n = program.n
	}
	if o.n == 0 {
		o.n = 1000000
	}
	known := loop || wait && o.n >= 1 || forks && o.n >= 2 && o.n <= program.max
	if !known || flags.NArg() > 0 || o.runs < 1 || o.warmup < 0 || o.workers < 1 || o.iterations < 1 {
		usage()
		os.Exit(2)
	}
	exitOn(run(os.Args[1], o))
}
