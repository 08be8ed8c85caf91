// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync"
	"time"
)

// The programs of bench/mutex.c and bench/scope.c.

func perOperation(start time.Time, operations int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(operations)
}

// Locking and unlocking a mutex that nobody else wants.
func mutexNS(o options) float64 {
	var mutex sync.Mutex

	start := time.Now()
	for i := 0; i < o.iterations; i++ {
		mutex.Lock()
		mutex.Unlock()
	}
	return perOperation(start, o.iterations)
}

var workDone int

//go:noinline
func work(steps int) {
	for i := 0; i < steps; i++ {
	}
}

// A mutex that a goroutine for each worker wants: from one unlock to the next.
func mutexContendedNS(o options) float64 {
	var mutex sync.Mutex
	var done sync.WaitGroup

	start := time.Now()
	for w := 0; w < o.workers; w++ {
		done.Add(1)
		go func() {
			for i := 0; i < o.iterations; i++ {
				mutex.Lock()
				workDone++
				work(10)
				mutex.Unlock()
				work(30)
			}
			done.Done()
		}()
	}
	done.Wait()
	return perOperation(start, o.workers*o.iterations)
}

// One goroutine in a group that is waited for.
func scopeNS(o options) float64 {
	start := time.Now()
	for i := 0; i < o.iterations; i++ {
		var group sync.WaitGroup

		group.Add(1)
		go group.Done()
		group.Wait()
	}
	return perOperation(start, o.iterations)
}

// Cancelling goroutines that wait, one after the other, and having each one's answer.
func cancelNS(o options) float64 {
	const batch = 100
	var cancels [batch]context.CancelFunc
	var ended [batch]chan error
	var spent time.Duration

	for left := o.iterations; left > 0; left -= batch {
		for i := range cancels {
			var ctx context.Context

			ctx, cancels[i] = context.WithCancel(context.Background())
			result := make(chan error)
			ended[i] = result
			go func() {
				<-ctx.Done()
				result <- ctx.Err()
			}()
		}
		time.Sleep(time.Microsecond) // they all wait then
		start := time.Now()
		for i := range cancels {
			cancels[i]()
			<-ended[i]
		}
		spent += time.Since(start)
	}
	return float64(spent.Nanoseconds()) / float64((o.iterations+batch-1)/batch*batch)
}
