/* SPDX-License-Identifier: MIT */
/* Pause points: places between the steps of the protocols at which a test build (-Dpauses=true) now and then stops the thread for a
 * while, as the kernel may at any instruction. What is rare by itself, a thread that loses its CPU between just these two steps while
 * others go on, is then what the tests are made of. In any other build there is nothing.
 *
 * A point that is named after a step stands right before it. `locked`: a spinlock is held there. The kernel stops threads inside of one,
 * too, and those who only try the lock, as thieves and takers-over do, find it taken then. But all the others wait, so these pauses
 * are shorter. */
#ifndef WHORL_RUNTIME_PAUSE_H
#define WHORL_RUNTIME_PAUSE_H

#include <stdbool.h>

/* name | locked | what is about to happen */
#define WHORL__PAUSE_POINTS(X)                                                                                                     \
    /* scheduler.c, idle.c: the wake protocol, switching, ending */                                                                \
    X(WAKE_P2, false, "something is queued: the fence")                                                                            \
    X(WAKE_P3, false, "the fence is behind: is anybody to be woken?")                                                              \
    X(WAKE_P3_LOCK, false, "somebody is: the lock of the sleepers")                                                                \
    X(WAKE_P3_WAKE, false, "somebody is off the list: waking him")                                                                 \
    X(WAKE_MAILBOX, false, "something is in a mailbox: waking its worker")                                                         \
    X(WAKE_S1, false, "nothing to do: looking for work")                                                                           \
    X(WAKE_S2, false, "nothing found: leaving the searchers")                                                                      \
    X(WAKE_S3, false, "going on the list of sleepers")                                                                             \
    X(WAKE_S4, false, "on the list: the fence")                                                                                    \
    X(WAKE_S5, false, "the fence is behind: looking once more")                                                                    \
    X(WAKE_S6, false, "there is something: off the list")                                                                          \
    X(WAKE_S6_SLEEP, false, "there is nothing: sleeping")                                                                          \
    X(WAKE_S6_UP, false, "the sleep is over: off the list")                                                                        \
    X(WAKE_UNWATCH, false, "the watcher gives its office up")                                                                      \
    X(WAKE_F1, false, "a searcher has found something: leaving the searchers")                                                     \
    X(WAKE_F1_NOTIFY, false, "it was the last: waking another")                                                                    \
    X(COMMIT, false, "a task has left its stack: publishing it")                                                                   \
    X(END_COUNT, false, "a task has ended, who waits for it may go on: counting it")                                               \
    X(END_SUMS, false, "between the sums of the finished and of the spawned")                                                      \
    X(FOREIGN_ADMIT, false, "a thread has a task: may it come in?")                                                                \
    X(FOREIGN_WAIT, false, "a thread is known to wait for a task: waiting")                                                        \
    X(FOREIGN_LEAVE, false, "a thread is done with the runtime")                                                                   \
    /* runq.h */                                                                                                                   \
    X(QUEUE_PUSH, false, "the slot is filled: moving the tail")                                                                    \
    X(QUEUE_POP, false, "the slot is read: moving the head")                                                                       \
    X(QUEUE_STEAL, false, "a thief knows head and tail: copying")                                                                  \
    X(QUEUE_TAKE, false, "a thief has copied: moving the head")                                                                    \
    X(QUEUE_SHOW, false, "what is stolen is the thief's: moving its own tail")                                                     \
    /* fork.h, fork.c */                                                                                                           \
    X(FORK_O2, false, "the owner has moved the tail: the fence")                                                                   \
    X(FORK_O3, false, "the owner's fence is behind: looking at the head")                                                          \
    X(FORK_O3_LOCK, false, "the owner asks under the lock")                                                                        \
    X(FORK_T1, false, "there is a fork: trying the lock")                                                                          \
    X(FORK_T2, true, "a thief has the lock: moving the head")                                                                      \
    X(FORK_T3, true, "a thief has moved the head: the fence")                                                                      \
    X(FORK_T4, true, "a thief's fence is behind: looking at the tail")                                                             \
    X(FORK_T4_UNLOCK, true, "a thief knows whose the fork is: giving the lock back")                                               \
    X(FORK_CHANGE, false, "another task comes: its deque")                                                                         \
    X(FORK_ASIDE, false, "a task with forks is parked: its deque is aside")                                                        \
    X(FORK_ASIDE_LIST, false, "the deque is aside: on the list")                                                                   \
    X(FORK_BACK, false, "a task comes back: its deque off the list")                                                               \
    X(FORK_BACK_MARK, false, "the deque is off the list: it is aside no more")                                                     \
    X(FORK_BIND, false, "a fork is taken: its strand is made known")                                                               \
    X(FORK_END, false, "a strand is known no more: opening the latch of its fork")                                                 \
    X(FORK_WAIT, false, "a fork was taken: waiting for it")                                                                        \
    /* takeover.c, uring.c: whose the port is */                                                                                   \
    X(TAKE_KICK, false, "a worker neglects its port: the interrupt")                                                               \
    X(TAKE_LOCK, false, "trying the lock of its port")                                                                             \
    X(TAKE_MOVE, true, "both ports are locked, the operations say where they are: moving them")                                    \
    X(TAKE_REAP, true, "reaping what has finished there")                                                                          \
    X(RING_REAP, true, "completions are read: giving their entries back")                                                          \
    X(TAKE_WAKE, false, "a wake-up was among it: sending it again")                                                                \
    X(TAKE_HAND_ON, false, "the port is free again: on with what was taken")                                                       \
    X(TAKE_TIMERS, false, "firing the timers of another worker")                                                                   \
    X(RING_ADD, false, "an operation is to be pending")                                                                            \
    X(RING_POLL, false, "the owner wants its port")                                                                                \
    X(RING_SUBMIT, true, "entries are filled in: giving them to the kernel")                                                       \
    X(RING_WAIT, false, "the owner is about to say that it waits")                                                                 \
    X(RING_SLEEP, false, "it has said so: sleeping")                                                                               \
    X(RING_SLEPT, false, "it has slept: saying that it waits no more")                                                             \
    X(RING_CANCEL, false, "the port of an operation is known: locking it")                                                         \
    X(RING_CANCEL_FD, false, "the next port on which a descriptor is cancelled")                                                   \
    /* wait.c */                                                                                                                   \
    X(WAIT_T2, false, "a task has said what it waits for: publishing it there")                                                    \
    X(WAIT_T3, false, "a task is published: is it to stop?")                                                                       \
    X(WAIT_C2, false, "a task is told to stop: what does it wait for?")                                                            \
    X(WAIT_C3, false, "it is known what it waits for: taking it out")                                                              \
    X(WAIT_OPEN, false, "opening a latch")                                                                                         \
    X(WAIT_FIRE, false, "a timer is out of its heap: waking its task")                                                             \
    /* pool.c, blocking.c */                                                                                                       \
    X(POOL_TELL, false, "a job is done, or refused: telling who waits for it")                                                     \
    X(POOL_TOLD, false, "he has been told: the runtime is")                                                                        \
    X(POOL_SLEEP, false, "a thread has nothing to do: sleeping")                                                                   \
    X(POOL_LEAVE, false, "a thread goes, the pool may, too")                                                                       \
    X(POOL_START, false, "a thread is counted: making it")                                                                         \
    X(POOL_WITHDRAW, false, "somebody is to stop waiting for a job: withdrawing it")                                               \
    /* generator.c */                                                                                                              \
    X(GENERATOR_READY, false, "an item is there: saying so")                                                                       \
    X(GENERATOR_OPEN, false, "it was asked for: opening the consumer's gate")                                                      \
    X(GENERATOR_STAND, false, "the function has left its stack: saying so")                                                        \
    X(GENERATOR_ENDED, false, "the function has ended: saying so")                                                                 \
    X(GENERATOR_LEFT, false, "a consumer is to stop waiting: saying so")                                                           \
    X(GENERATOR_CLOSE, false, "a generator is to be closed: saying so")                                                            \
    /* waiter.c, select.c */                                                                                                       \
    X(WAITER_M2, false, "a waiter is off the list, and has what it waited for: opening its gate")                                  \
    X(WAITER_W3, false, "a wait is to end: is the waiter on the list still?")                                                      \
    X(SELECT_S2, false, "nothing can be done at once: standing for the next case")                                                 \
    X(SELECT_CLAIM, true, "something came true for one of several: claiming the gate")                                             \
    X(SELECT_S4, false, "one of several is chosen, or none: leaving the others")                                                   \
    /* waiter.c, mutex.c */                                                                                                        \
    X(MUTEX_L2, false, "a mutex is not to be had: the lock of its list")                                                           \
    X(MUTEX_U2, false, "somebody may wait for a mutex: the lock of its list")                                                      \
    X(MUTEX_U1, false, "nobody did: the word of the mutex")                                                                        \
    /* fd.c */                                                                                                                     \
    X(FD_U1, false, "a user has looked at the word: counting itself")                                                              \
    X(FD_U2, true, "the descriptor is not being closed: its operation becomes an entry")                                           \
    X(FD_U3, false, "a user is done: uncounting itself")                                                                           \
    X(FD_U3_OPEN, false, "the last user: opening the closer's gate")                                                               \
    X(FD_X1, false, "a closer has looked at the word: CLOSING")                                                                    \
    X(FD_X2, false, "others use it: cancelling them")                                                                              \
    X(FD_X3, false, "they are cancelled: uncounting itself")                                                                       \
    X(FD_X3_WAIT, false, "some are left: waiting for them")                                                                        \
    X(FD_X4, false, "nobody uses it any more: CLOSED")                                                                             \
    X(FD_X4_CLEAR, false, "the descriptor is closed: clearing the word")

enum whorl__pause {
#define WHORL__PAUSE_NAME(name, locked, text) WHORL__AT_##name,
    WHORL__PAUSE_POINTS(WHORL__PAUSE_NAME)
#undef WHORL__PAUSE_NAME
        WHORL__PAUSE_COUNT
};

#if defined(WHORL__PAUSES)
/* The tests' (tests/support/pause.c): nothing in runtime/ draws numbers or sleeps but through its reactor. */
void whorl__pause(enum whorl__pause at);
#define whorl__pause_at(name) whorl__pause(WHORL__AT_##name)
#else
#define whorl__pause_at(name) ((void)0)
#endif

#endif
