// SPDX-License-Identifier: MIT

// go-peer measures on goroutines what `whorl-bench yield` and `whorl-bench spawn` measure on tasks, and prints the same JSON.
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
	runs, warmup, workers, iterations int
}

type result struct {
	Bench      string  `json:"bench"`
	Workers    int     `json:"workers"`
	Runs       int     `json:"runs"`
	Iterations int     `json:"iterations"`
	Median     float64 `json:"ns_per_op"`
	Min        float64 `json:"ns_per_op_min"`
	Max        float64 `json:"ns_per_op_max"`
	Commit     string  `json:"commit"`
	Kernel     string  `json:"kernel"`
	Allocator  string  `json:"allocator"`
	Compiler   string  `json:"compiler"`
	CPU        string  `json:"cpu"`
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

func measure(name string, o options, once func(options) float64) error {
	samples := make([]float64, o.runs)

	runtime.GOMAXPROCS(o.workers)
	for i := 0; i < o.warmup; i++ {
		once(o)
	}
	for i := range samples {
		samples[i] = once(o)
	}
	sort.Float64s(samples)
	median := (samples[(o.runs-1)/2] + samples[o.runs/2]) / 2
	line, err := json.Marshal(result{"go-" + name, o.workers, o.runs, o.iterations, median, samples[0], samples[o.runs-1],
		commit, kernel(), "go", runtime.Version(), cpu()})
	if err == nil {
		_, err = fmt.Println(string(line))
	}
	return err
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go-peer yield|spawn [-runs N] [-warmup N] [-workers N] [-iterations N]")
}

func main() {
	workloads := map[string]func(options) float64{"yield": yieldNS, "spawn": spawnNS}
	var o options

	flags := flag.NewFlagSet("go-peer", flag.ExitOnError)
	flags.Usage = func() { usage(); flags.PrintDefaults() }
	flags.IntVar(&o.runs, "runs", 5, "measurements, whose median counts")
	flags.IntVar(&o.warmup, "warmup", 1, "measurements before those")
	flags.IntVar(&o.workers, "workers", 1, "OS threads that run goroutines")
	flags.IntVar(&o.iterations, "iterations", 1000000, "yields of each goroutine, or goroutines")
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
	once, known := workloads[os.Args[1]]
	flags.Parse(os.Args[2:])
	if !known || flags.NArg() > 0 || o.runs < 1 || o.warmup < 0 || o.workers < 1 || o.iterations < 1 {
		usage()
		os.Exit(2)
	}
	if err := measure(os.Args[1], o, once); err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
}
