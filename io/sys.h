/* SPDX-License-Identifier: MIT */
/* System calls that return -errno. They are functions of their own, never inlined, because errno must not be touched in a function
 * that also suspends: the compiler keeps its address, and the task may come back on another thread (see runtime/current.h). */
#ifndef WHORL_IO_SYS_H
#define WHORL_IO_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <whorl/base.h>

int whorl__sys_close(int fd);
int whorl__sys_socket(int family, int type);
int whorl__sys_bind(int fd, const struct sockaddr *address, socklen_t size);
int whorl__sys_listen(int fd, int backlog);
int whorl__sys_set_option(int fd, int level, int option, int value);
int whorl__sys_port(int fd);
int whorl__sys_socket_error(int fd); /* what the socket has to report, and 0 when that is nothing */
int whorl__sys_shutdown(int fd, int how);
ssize_t whorl__sys_recv(int fd, void *buffer, size_t size, int flags);
ssize_t whorl__sys_send(int fd, const void *buffer, size_t size, int flags);
ssize_t whorl__sys_read_at_nowait(int fd, void *buffer, size_t size, int64_t offset);
int whorl__sys_signalfd(const int *signals, size_t count);
int whorl__sys_poll(int fd, int events); /* without waiting: the events that it has, 0: none */
ssize_t whorl__sys_read(int fd, void *buffer, size_t size);
/* Gives the CPU away, or sleeps: blocks the thread. */
void whorl__sys_pause(whorl_ns duration);
uint64_t whorl__sys_random(void);
whorl_ns whorl__sys_now(void);

#endif
