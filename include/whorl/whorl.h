/* SPDX-License-Identifier: MIT */
/* whorl: a work-stealing task runtime with asynchronous I/O. This header includes all the others. */
#ifndef WHORL_WHORL_H
#define WHORL_WHORL_H

#include <whorl/barrier.h>
#include <whorl/base.h>
#include <whorl/blocking.h>
#include <whorl/channel.h>
#include <whorl/cleanup.h>
#include <whorl/condition.h>
#include <whorl/defer.h>
#include <whorl/error.h>
#include <whorl/event.h>
#include <whorl/fd.h>
#include <whorl/file.h>
#include <whorl/fork.h>
#include <whorl/future.h>
#include <whorl/generator.h>
#include <whorl/group.h>
#include <whorl/inspect.h>
#include <whorl/interval.h>
#include <whorl/limiter.h>
#include <whorl/local.h>
#include <whorl/mutex.h>
#include <whorl/net.h>
#include <whorl/once.h>
#include <whorl/parallel.h>
#include <whorl/pin.h>
#include <whorl/queue.h>
#include <whorl/run.h>
#include <whorl/rwlock.h>
#include <whorl/scope.h>
#include <whorl/select.h>
#include <whorl/semaphore.h>
#include <whorl/signal.h>
#include <whorl/task.h>
#include <whorl/time.h>
#include <whorl/wait_group.h>

#endif
