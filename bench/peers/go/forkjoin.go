// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// The programs of bench/forkjoin.c: the same algorithms and records, a goroutine for each fork.
type forkJoin struct {
	n, max   int
	run      func(n int) int
	expected func(n int) expectation
}

// What a program should come to.
type expectation struct {
	result, forks int
}

var forkJoins = map[string]forkJoin{
	"fib":     {27, 60, fib, fibExpected},
	"skynet":  {1000000, 1000000000, skynetRun, skynetExpected},
	"nqueens": {11, queensMax, queensRun, queensExpected},
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	var forked struct {
		done   sync.WaitGroup
		result int
	}
	forked.done.Add(1)
	go func() {
		forked.result = fib(n - 1)
		forked.done.Done()
	}()
	called := fib(n - 2)
	forked.done.Wait()
	return forked.result + called
}

func fibExpected(n int) expectation {
	before, last := expectation{0, 0}, expectation{1, 0} // of n - 1 and n, for n = 1
	for i := 2; i <= n; i++ {
		before, last = last, expectation{before.result + last.result, before.forks + last.forks + 1}
	}
	return last
}

type skynetPart struct {
	from, size, sum int
}

func skynet(part *skynetPart) {
	part.sum = part.from
	if part.size == 1 {
		return
	}
	var forked struct {
		done     sync.WaitGroup
		children [10]skynetPart
	}
	forked.done.Add(len(forked.children))
	for i := range forked.children {
		child := &forked.children[i]
		child.from = part.from + i*(part.size/10)
		child.size = part.size / 10
		go func() {
			skynet(child)
			forked.done.Done()
		}()
	}
	forked.done.Wait()
	part.sum = 0
	for i := range forked.children {
		part.sum += forked.children[i].sum
	}
}

func skynetRun(n int) int {
	root := skynetPart{size: n}

	skynet(&root)
	return root.sum
}

func skynetExpected(n int) expectation {
	forks := 0
	for left := n; left > 1; left /= 10 {
		forks += left
	}
	return expectation{n * (n - 1) / 2, forks}
}

const queensMax = 16

type board struct {
	n, row    int32
	at        [queensMax]uint8
	solutions int
}

func mayStand(at *[queensMax]uint8, row, column int32) bool {
	for i := int32(0); i < row; i++ {
		if other := int32(at[i]); other == column || other-column == i-row || other-column == row-i {
			return false
		}
	}
	return true
}

// What a goroutine sees lies on the heap, so there is a record for each fork, not room for as many as there might be.
func queens(b *board) {
	if b.row == b.n {
		b.solutions = 1
		return
	}
	var done sync.WaitGroup
	var forked [queensMax]*board
	count := 0
	for column := int32(0); column < b.n; column++ {
		if !mayStand(&b.at, b.row, column) {
			continue
		}
		next := &board{n: b.n, row: b.row + 1, at: b.at}
		next.at[b.row] = uint8(column)
		done.Add(1)
		go func() {
			queens(next)
			done.Done()
		}()
		forked[count] = next
		count++
	}
	done.Wait()
	for _, next := range forked[:count] {
		b.solutions += next.solutions
	}
}

func queensRun(n int) int {
	root := board{n: int32(n)}

	queens(&root)
	return root.solutions
}

// Counts in another way, so that it is a check: a bit for each column that is taken, by a column or by a diagonal.
func queensBelow(all, columns, rising, falling uint) expectation {
	var e expectation
	if columns == all {
		e.result = 1
	}
	for open := all &^ (columns | rising | falling); open != 0; open &= open - 1 {
		one := uint(1) << bits.TrailingZeros(open)
		below := queensBelow(all, columns|one, (rising|one)<<1, (falling|one)>>1)
		e.result += below.result
		e.forks += 1 + below.forks
	}
	return e
}

func queensExpected(n int) expectation {
	return queensBelow(1<<n-1, 0, 0, 0)
}

type forkJoinResult struct {
	Bench   string `json:"bench"`
	Peer    string `json:"peer"`
	Workers int    `json:"workers"`
	Runs    int    `json:"runs"`
	N       int    `json:"n"`
	Forks   int    `json:"forks"`
	spread
	MS float64 `json:"ms"`
	environment
}

func runForkJoin(name string, o options) error {
	program := forkJoins[name]
	expected := program.expected(o.n)
	right := true
	ns := measure(o, float64(expected.forks), func() float64 {
		start := time.Now()
		right = program.run(o.n) == expected.result && right
		return float64(time.Since(start).Nanoseconds())
	})
	if !right {
		return fmt.Errorf("%s: a wrong result", name)
	}
	ms := ns.Median * float64(expected.forks) / 1e6
	return printJSON(forkJoinResult{name, "go", o.workers, o.runs, o.n, expected.forks, ns, ms, here()})
}
