# SPDX-License-Identifier: MIT
"""Tasks in gdb, of a living process or of a core file. Nothing is run, and nothing is written, in the program that is looked at.

    whorl tasks [-state STATE] [-name PATTERN]   who waits for what, since when; one line for each task
    whorl workers                                what each worker does, on which thread
    whorl bt TASK|all [backtrace's arguments]    where a task is, running or not
    whorl apply TASK COMMAND                     a command of gdb, with the frames of that task

TASK is a number from `whorl tasks`, a name, or an expression that is a task's address. $whorl_task(TASK) is the record. The
library's debug information is needed; that of the program makes backtraces readable.

Where the task's frames come from: a task that does not run has left four words at the end of its stack (runtime/context.h). An
unwinder claims that the selected thread's innermost function was called from there, so all of gdb's own commands find the rest, in
core files too. It is heard only while one of the commands above runs.
"""
import contextlib
import fnmatch
import re

import gdb
import gdb.unwinder

# What whorl__context_swap saves, in words from the saved stack pointer, and how far below its frame that is.
LAYOUTS = {
    "i386:x86-64": {"sp": "rsp", "saved": {"rip": 0, "rbx": 2, "rbp": 3}, "below": 160},
    "aarch64": {"sp": "sp", "saved": {"pc": 0, "x19": 2, "x29": 3}, "below": 32},
}
NEVER = 2**63 - 1
STATES = ("ready", "running", "waits", "ended")
SIGNAL_FRAMES_LOOKED_AT = 64


def type_of(name):
    try:
        return gdb.lookup_type(name)
    except gdb.error:
        raise gdb.GdbError(why_nothing_is_known())


def why_nothing_is_known():
    try:
        gdb.parse_and_eval("(long) &whorl_run")
    except gdb.error:
        return "There is no whorl in this program, or its symbols were stripped."
    return ("whorl is here without its debug information: build it with `meson setup --debug`, install libwhorl0-dbgsym, "
            "or see `help debuginfod`.")


def static_values(name, type_name):
    """The values of the library's static variables of this name. There is one, or more if there are several copies of the library."""
    return [symbol.value() for symbol in gdb.lookup_static_symbols(name) if str(symbol.type).startswith(type_name)]


def enumerators(name):
    return {field.enumval: field.name for field in type_of("enum " + name).fields()}


def offset_of(record, field):
    return next(f.bitpos // 8 for f in record.fields() if f.name == field)


def string_at(pointer):
    try:
        return pointer.string(errors="replace") if int(pointer) else "?"
    except gdb.MemoryError:
        return "?"


def duration(ns):
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{ns / size:.3f}".rstrip("0").rstrip(".") + " " + unit
    return f"{ns} ns"


class Runtime:
    def __init__(self, number, value, several):
        self.number = number
        self.several = several  # of them are in this process, so that tasks are numbered 1.1, 2.1 …
        self.value = value
        self.workers = [value["workers"][i] for i in range(int(value["worker_count"]))]
        # As in whorl_dump: no clock can be asked in a core file.
        self.now = max(int(w["now"]) for w in self.workers)
        self.slabs = []
        slab = value["slabs"]
        while slab:
            self.slabs.insert(0, slab.dereference())
            slab = slab["next"]
        slab_type = type_of("struct whorl__record_slab")
        self.per_slab = slab_type["tasks"].type.range()[1] + 1
        self.alignment = 1 << (slab_type.sizeof - 1).bit_length()
        self.places = {int(slab.address): n for n, slab in enumerate(self.slabs)}

    def tasks(self):
        """All that live. A record's number is that of its place, so it stays while the program goes on."""
        record = type_of("struct whorl_task")
        state = offset_of(record, "state")
        for n, slab in enumerate(self.slabs):
            used = int(slab["used"])
            memory = gdb.selected_inferior().read_memory(int(slab["tasks"].address), used * record.sizeof)
            for i in range(used):
                if memory[i * record.sizeof + state] != b"\0":
                    yield Task(self, slab, n * self.per_slab + i + 1, i)

    def task(self, number):
        """None: there is no such task."""
        n, i = divmod(number - 1, self.per_slab)
        if not 0 <= n < len(self.slabs) or i >= int(self.slabs[n]["used"]) or not int(self.slabs[n]["tasks"][i]["state"]):
            return None
        return Task(self, self.slabs[n], number, i)

    def task_at(self, address):
        """None: there is none."""
        n = self.places.get(address & -self.alignment)
        if n is None:
            return None
        i, rest = divmod(address - int(self.slabs[n]["tasks"].address), type_of("struct whorl_task").sizeof)
        return self.task(n * self.per_slab + i + 1) if rest == 0 and 0 <= i < self.per_slab else None

    def title(self):
        prefix = f"{self.number}: " if self.several else ""
        return (f"{prefix}runtime {hex(int(self.value.address))}, reactor {string_at(self.value['ops']['name'])}, "
                f"{len(self.workers)} workers")


class Task:
    def __init__(self, runtime, slab, number, index):
        self.runtime = runtime
        self.number = number
        self.value = slab["tasks"][index]
        self.rare = slab["rare"][index]
        self.address = int(self.value.address)
        self.name = string_at(self.rare["name"].address.cast(type_of("char").pointer()))
        self.state = STATES[int(self.value["state"]) - 1]

    def contains(self, stack_pointer):
        """Is that on its stack, or in the guard below it?"""
        stack = self.value["stack"]
        if not stack:
            return False
        base = int(stack["base"])
        return base - int(self.runtime.value["stacks"]["guard"]) <= stack_pointer < base + (int(stack["size_kib"]) << 10)

    def short(self):
        return f'task {self.label()} "{self.name}"'

    def label(self):
        return f"{self.runtime.number}.{self.number}" if self.runtime.several else str(self.number)

    def goes_on_at(self):
        return int(self.value["context"]["sp"].cast(type_of("unsigned long").pointer())[0])


def all_runtimes():
    type_of("struct whorl__runtime")
    found = [array[i] for array in static_values("runtimes", "struct whorl__runtime *[")
             for i in range(array.type.range()[1] + 1)]
    pointers = [pointer for pointer in found if int(pointer)]
    return [Runtime(n, pointer.dereference(), len(pointers) > 1) for n, pointer in enumerate(pointers, 1)]


def named_or_at(runtimes, spec):
    found = [task for runtime in runtimes for task in runtime.tasks() if spec in (task.name, "all")]
    if found:
        return found
    try:
        address = int(gdb.parse_and_eval(spec))
    except gdb.error as why:
        raise gdb.GdbError(f"No task is called {spec}, and as an expression it is none: {why}")
    return [runtime.task_at(address) for runtime in runtimes]


def find_tasks(spec):
    """The tasks that TASK stands for: several may have one name."""
    runtimes = all_runtimes()
    numbered = re.fullmatch(r"(?:(\d+)\.)?(\d+)", spec)
    if numbered:
        found = [runtime.task(int(numbered.group(2))) for runtime in runtimes if runtime.number == int(numbered.group(1) or 1)]
    else:
        found = named_or_at(runtimes, spec)
    found = [task for task in found if task]
    if not found:
        raise gdb.GdbError(f"There is no task {spec}; see `whorl tasks`.")
    return found


@contextlib.contextmanager
def selection_kept():
    """Whatever is selected meanwhile, afterwards it is what it was before."""
    thread = gdb.selected_thread()
    if thread is None:
        raise gdb.GdbError("There is no process, and no core file.")
    frame = gdb.selected_frame()
    try:
        yield thread
    finally:
        thread.switch()
        if frame.is_valid():
            frame.select()


def stack_pointers_of_thread():
    """Where the selected thread's stack pointer is, and where it was when a signal came that it handles just now."""
    frame = gdb.newest_frame()
    yield int(frame.read_register("sp"))
    with contextlib.suppress(gdb.error):  # stacks may be broken
        for _ in range(SIGNAL_FRAMES_LOOKED_AT):
            interrupted = frame.type() == gdb.SIGTRAMP_FRAME
            frame = frame.older()
            if frame is None:
                break
            if interrupted:
                yield int(frame.read_register("sp"))


def stack_pointers():
    """Those of all threads that are stopped, with the thread."""
    found = []
    with selection_kept():
        for thread in gdb.selected_inferior().threads():
            if thread.is_valid() and not thread.is_running():
                thread.switch()
                found += [(sp, thread) for sp in stack_pointers_of_thread()]
    return found


def thread_on(task, pointers):
    """The thread that is on the task's stack, whatever the record says: between the two there are always a few instructions."""
    return next((thread for sp, thread in pointers if task.contains(sp)), None)


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Caller(gdb.unwinder.Unwinder):
    """While there is a layout, the frame at stack pointer `callee` has been called by the task that has left its words at `words`."""

    def __init__(self):
        super().__init__("whorl")
        self.layout = None
        self.callee = self.words = 0

    def pretend(self, layout, callee, task):
        self.layout, self.callee = layout, callee
        self.words = int(task.value["context"]["sp"])
        gdb.invalidate_cached_frames()

    def stop(self):
        self.layout = None
        gdb.invalidate_cached_frames()

    def registers(self):
        words = gdb.Value(self.words).cast(type_of("unsigned long").pointer())
        yield self.layout["sp"], gdb.Value(self.words + self.layout["below"])
        for name, place in self.layout["saved"].items():
            yield name, words[place]

    def __call__(self, pending):
        if self.layout is None or int(pending.read_register("sp")) != self.callee:
            return None
        # An id that is further in than the task's own frames, or gdb takes the stack for a broken one.
        innermost = FrameId(gdb.Value(self.words).cast(type_of("char").pointer()), pending.read_register("pc"))
        info = pending.create_unwind_info(innermost)
        for name, value in self.registers():
            info.add_saved_register(name, value.cast(pending.read_register(name).type))
        return info


CALLER = Caller()


@contextlib.contextmanager
def frames_of(task, pointers):
    """Selects the innermost frame of the task, and gives its level; 0 if it has a thread. To be called with selection_kept."""
    thread = thread_on(task, pointers)
    if thread:
        thread.switch()
        gdb.newest_frame().select()
        yield 0
        return
    frame = gdb.newest_frame()
    machine = frame.architecture().name()
    if machine not in LAYOUTS:
        raise gdb.GdbError(f"Tasks that do not run can be looked at on {' and '.join(LAYOUTS)} only; this is {machine}.")
    callee = int(frame.read_register("sp"))
    CALLER.pretend(LAYOUTS[machine], callee, task)
    try:
        frame = gdb.newest_frame()
        while frame is not None and int(frame.read_register("sp")) == callee:  # inlined functions come before their callers
            frame = frame.older()
        if frame is None:
            raise gdb.GdbError(f"The stack of {task.short()} cannot be read.")
        frame.select()
        yield frame.level()
    finally:
        CALLER.stop()


def why_no_frames(task):
    """A task that has none yet, or no more."""
    if task.state == "ended":
        return "it has ended; nobody has joined it yet"
    start = int(gdb.parse_and_eval("(unsigned long) &whorl__context_start"))
    goes_on_at = task.goes_on_at() if task.value["stack"] else start
    if goes_on_at == 0:
        return "its stack is not in this core file: gdb leaves out what stands behind a page that it cannot read, as guards are"
    if goes_on_at == start:
        return f"it has not begun; it will run {task.value['fn'].format_string(symbols=True)}"
    return None


def with_frames_of(task, pointers, look):
    """Calls look(level) with the task's innermost frame selected, which has that level; or says why it has none."""
    try:
        reason = None if thread_on(task, pointers) else why_no_frames(task)
        if reason:
            show(f"{task.short()}: {reason}")
            return
        with selection_kept(), frames_of(task, pointers) as level:
            look(level)
    except gdb.MemoryError as why:
        show(f"{task.short()}: its stack cannot be read: {why}")


def backtrace(arguments, level):
    """What gdb's own command says from frame `level` on, which becomes #0."""
    words = [str(int(word) + level) if re.fullmatch(r"\d+", word) else word for word in arguments]
    lines = gdb.execute("backtrace " + " ".join(words), to_string=True).splitlines()
    shown = []
    for line in lines:
        numbered = re.match(r"#(\d+)", line)
        if numbered and int(numbered.group(1)) >= level:
            line = f"#{int(numbered.group(1)) - level}".ljust(4) + line[numbered.end():].lstrip()
        elif numbered or not shown:
            continue
        shown.append(line)
    return "\n".join(shown)


def waits_for(task):
    """What stands behind `object`, as whorl_dump has it; a task by its name."""
    reason, object_, wait = string_at(task.value["reason"]), int(task.value["object"]), int(task.value["wait"])
    kind = enumerators("whorl__wait")[wait]
    other = task.runtime.task_at(object_)
    if other:
        return f"{reason} {other.short()}"
    if kind == "WHORL__WAIT_NONE":
        return reason
    if kind in ("WHORL__WAIT_LATCH", "WHORL__WAIT_SYNC"):
        return f"{reason} {gdb.Value(object_).cast(type_of('void').pointer()).format_string(symbols=True)}"
    if kind == "WHORL__WAIT_TIMER":
        left = object_ - task.runtime.now
        return f"{reason} {object_} ns" + (f" ({duration(left)} from now)" if 0 < left and object_ < NEVER else "")
    return f"{reason} fd {object_ - 2**64 if object_ >= 2**63 else object_}"


def describe(task, pointers):
    value, rare = task.value, task.rare
    parts = [task.state]
    if task.state == "waits":
        parts[0] += " for " + waits_for(task)
    if value["root"]:
        parts[0] = f"(a fork of it) {parts[0]}"
    if task.state == "running":
        index = next((int(w["index"]) for w in task.runtime.workers if int(w["current"]) == task.address), None)
        thread = thread_on(task, pointers)
        parts.append(f"on worker {'?' if index is None else index}" + (f", thread {thread.num}" if thread else ""))
    if int(value["bound"]):
        parts.append(f"bound to worker {int(value['bound']) - 1}")
    parts.append(f"since {duration(max(0, task.runtime.now - int(value['since'])))}")
    parts.append(f"spawned at {string_at(value['where'])}")
    if rare["scope"]:
        parts.append(f"in the scope of {string_at(rare['scope']['where'])}")
    return f'{task.label():>5} {hex(task.address)} "{task.name}" {", ".join(parts)}'


def show(text):
    gdb.write(text + "\n")


class Whorl(gdb.Command):
    """Tasks of whorl: `whorl tasks`, `whorl workers`, `whorl bt`, `whorl apply`."""

    NAME, IS_PREFIX = "whorl", True


class Tasks(gdb.Command):
    """Who waits for what, since when: a line for each task.

whorl tasks [-state STATE] [-name PATTERN]
STATE is ready, running, waits or ended. PATTERN is a name; * and ? stand for any letters."""

    NAME, IS_PREFIX = "whorl tasks", False

    def filters(self, arguments):
        wanted = {"-state": None, "-name": "*"}
        words = gdb.string_to_argv(arguments)
        for option, word in zip(words[::2], words[1::2]):
            if option not in wanted or option == "-state" and word not in STATES:
                raise gdb.GdbError("whorl tasks [-state ready|running|waits|ended] [-name PATTERN]")
            wanted[option] = word
        if len(words) % 2:
            raise gdb.GdbError(f"whorl tasks: {words[-1]} needs a value, or is none")
        return lambda task: wanted["-state"] in (None, task.state) and fnmatch.fnmatchcase(task.name, wanted["-name"])

    def invoke(self, arguments, from_tty):
        matches = self.filters(arguments)
        runtimes = all_runtimes()
        if not runtimes:
            show("No runtime runs in this process.")
        pointers = stack_pointers()
        for runtime in runtimes:
            show(runtime.title())
            count = shown = 0
            for task in runtime.tasks():
                count += 1
                if matches(task):
                    shown += 1
                    show(describe(task, pointers))
            show(f"{shown} of {count} tasks" if shown < count else f"{count} tasks")


class Workers(gdb.Command):
    """What each worker does, on which thread, and its counters."""

    NAME, IS_PREFIX = "whorl workers", False

    def threads(self):
        """Thread by worker's address. The variable is thread-local: without libthread_db gdb does not find it."""
        found = {}
        with selection_kept():
            for thread in gdb.selected_inferior().threads():
                if thread.is_valid() and not thread.is_running():
                    thread.switch()
                    with contextlib.suppress(gdb.error):
                        found.update({int(w): thread for w in static_values("current", "struct whorl__worker *")})
        return found

    def describe(self, worker, current, threads, pointers):
        ready = worker["ready"]
        thread = threads.get(int(worker.address)) or (thread_on(current, pointers) if current else None)
        queued = int(ready["tail"]) - int(ready["head"]) + int(ready["bound_count"])
        queued += int(ready["overflow"]["count"]) + int(worker["bound"]["count"])
        does = f"runs {current.short()}" if current else "sleeps" if worker["asleep"] else "looks for work"
        stats = ", ".join(f"{name} {int(worker['stats'][name])}" for name in ("switches", "spawned", "finished", "steals", "sleeps"))
        where = f" on thread {thread.num} (LWP {thread.ptid[1]})" if thread else ""
        return f"  worker {int(worker['index'])}{where} {does}; {queued} ready, {int(worker['timers']['count'])} timers; {stats}"

    def invoke(self, arguments, from_tty):
        threads, pointers = self.threads(), stack_pointers()
        for runtime in all_runtimes():
            show(runtime.title())
            for worker in runtime.workers:
                show(self.describe(worker, runtime.task_at(int(worker["current"])), threads, pointers))


class Backtrace(gdb.Command):
    """Where a task is, whether it runs or not.

whorl bt TASK|all [ARGUMENTS OF backtrace]
TASK is a number from `whorl tasks`, a name, or an expression that is a task's address."""

    NAME, IS_PREFIX = "whorl bt", False

    def invoke(self, arguments, from_tty):
        words = gdb.string_to_argv(arguments)
        if not words:
            raise gdb.GdbError("whorl bt TASK|all [ARGUMENTS OF backtrace]: `whorl tasks` lists the tasks")
        pointers = stack_pointers()
        for task in find_tasks(words[0]):
            show(f"{task.label()} {hex(task.address)} \"{task.name}\" {task.state}:")
            with_frames_of(task, pointers, lambda level: show(backtrace(words[1:], level)))


class Apply(gdb.Command):
    """A command of gdb with the frames of a task, as `frame apply` has it for frames: `whorl apply 5 info locals`.

whorl apply TASK|all COMMAND
The innermost frame is selected. Where `frame` and `up` show numbers, they may be higher than those of `whorl bt`."""

    NAME, IS_PREFIX = "whorl apply", False

    def invoke(self, arguments, from_tty):
        spec, _, command = arguments.strip().partition(" ")
        if not command:
            raise gdb.GdbError("whorl apply TASK|all COMMAND")
        pointers = stack_pointers()
        for task in find_tasks(spec):
            with_frames_of(task, pointers, lambda level: gdb.execute(command, from_tty))


class TaskFunction(gdb.Function):
    """$whorl_task(TASK): the record of a task, a struct whorl_task *."""

    def __init__(self):
        super().__init__("whorl_task")

    def invoke(self, spec):
        text = spec.string() if spec.type.strip_typedefs().code in (gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_PTR) else str(int(spec))
        found = find_tasks(text)
        if len(found) > 1:
            raise gdb.GdbError(f"{len(found)} tasks are called {text}.")
        return found[0].value.address


gdb.unwinder.register_unwinder(None, CALLER, replace=True)
for command in (Whorl, Tasks, Workers, Backtrace, Apply):
    command(command.NAME, gdb.COMMAND_STACK, prefix=command.IS_PREFIX)
TaskFunction()
