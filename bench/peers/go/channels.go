// SPDX-License-Identifier: MIT

package main

import "time"

// The programs of bench/channel.c.

// Round trips between two goroutines by two channels: the ns of each.
func channelNS(o options) float64 {
	there, back := make(chan int), make(chan int)

	go func() {
		for item := range there {
			back <- item
		}
	}()
	start := time.Now()
	for i := 0; i < o.iterations; i++ {
		there <- i
		<-back
	}
	close(there)
	return float64(time.Since(start).Nanoseconds()) / float64(o.iterations)
}

// Items that one goroutine sends to another, by a channel with room for 128: the ns of each.
func streamNS(o options) float64 {
	items := make(chan int, 128)

	start := time.Now()
	go func() {
		for i := 0; i < o.iterations; i++ {
			items <- i
		}
		close(items)
	}()
	for range items {
	}
	return float64(time.Since(start).Nanoseconds()) / float64(o.iterations)
}

// Choosing among four channels that all have something: the ns of each.
func selectNS(o options) float64 {
	const some = 1000
	var channels [4]chan int
	var sum time.Duration

	for i := range channels {
		channels[i] = make(chan int, some)
	}
	rounds := (o.iterations + some - 1) / some
	for round := 0; round < rounds; round++ {
		for _, c := range channels {
			for len(c) < some {
				c <- 0
			}
		}
		start := time.Now()
		for i := 0; i < some; i++ {
			select {
			case <-channels[0]:
			case <-channels[1]:
			case <-channels[2]:
			case <-channels[3]:
			}
		}
		sum += time.Since(start)
	}
	return float64(sum.Nanoseconds()) / float64(rounds*some)
}
