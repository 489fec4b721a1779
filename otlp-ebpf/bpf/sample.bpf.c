// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Stacks of threads: at intervals while they run, and what they waited in when they waited long. Each with the request
// that its thread last read, where that is known.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "kernel.h"
#include "socket.h"
#include "processes.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Told in each sample; raised with every change of the layout. */
#define SAMPLE_VERSION 1
#define KERNEL_FRAMES 48
#define USER_FRAMES 127

enum sample_state {
    STATE_RUNS = 1,    /* taken while it ran */
    STATE_WAITED = 2,  /* for something: told when it goes on */
    STATE_DELAYED = 3, /* could have run, but others did */
};

struct ends {
    __u64 since; /* when it was read; 0: there is none */
    __u8 local[16];
    __u8 remote[16];
    __u16 local_port;
    __u16 remote_port;
    __u8 is_v6;
    __u8 padding[3];
};

/* src/event/stack.rs reads the same layout; a test compares the two. */
struct sample {
    __u64 time; /* CLOCK_MONOTONIC, nanoseconds; where it waited, when it began to */
    __u64 weight; /* nanoseconds that it stands for */
    __u8 version;
    __u8 state;
    __u16 kernel_frames;
    __u16 user_frames;
    __u16 padding;
    __u32 pid;
    __u32 tid;
    struct ends request;
    __u64 kernel[KERNEL_FRAMES]; /* leaf first */
    __u64 user[USER_FRAMES];
};

const struct sample *const volatile LAYOUT = 0;

/* Which request a thread has read is looked at. */
const volatile __u32 WANT_REQUESTS = 0;
/* Nanoseconds of processor time that a sample stands for. */
const volatile __u64 PERIOD = 0;
/* Nanoseconds that a thread waits at least, to be told. */
const volatile __u64 THRESHOLD = 0;

enum counter {
    COUNT_SAMPLES, /* that were to be told */
    COUNT_FULL,    /* of these: dropped, the ring was full */
    COUNT_NO_ROOM, /* waits that were not looked at: too many threads wait */
    COUNT_SHORT,   /* waits below the threshold */
    COUNTERS,
};

#include "counts.h"

/* Its size is set by whoever loads it. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} SAMPLES SEC(".maps");

/* One bit a port: it is that of a server. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} PORTS SEC(".maps");

/* What threads wait in that are not running. Its size is set by whoever loads it. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, struct sample);
} WAITING SEC(".maps");

/* The requests that threads last read. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, struct ends);
} REQUESTS SEC(".maps");

/* Where a sample is put together. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sample);
} SCRATCH SEC(".maps");

static __always_inline int in_ports(__u16 port)
{
    __u32 word = port >> 6;
    __u64 *bits = bpf_map_lookup_elem(&PORTS, &word);

    return bits && (*bits >> (port & 63)) & 1;
}

/* Fills in a sample of the thread that runs here. */
static __always_inline void fill(struct sample *to, void *context, __u8 state)
{
    __u64 thread = bpf_get_current_pid_tgid();
    struct ends *request;
    __s64 bytes;

    to->time = bpf_ktime_get_ns();
    to->weight = PERIOD;
    to->version = SAMPLE_VERSION;
    to->state = state;
    to->padding = 0;
    to->pid = thread >> 32;
    to->tid = thread;
    request = WANT_REQUESTS ? bpf_map_lookup_elem(&REQUESTS, &to->tid) : 0;
    if (request)
        to->request = *request;
    else
        __builtin_memset(&to->request, 0, sizeof(to->request));
    bytes = bpf_get_stack(context, to->kernel, sizeof(to->kernel), 0);
    to->kernel_frames = bytes > 0 ? (__u32)bytes / 8 : 0;
    bytes = bpf_get_stack(context, to->user, sizeof(to->user), BPF_F_USER_STACK);
    to->user_frames = bytes > 0 ? (__u32)bytes / 8 : 0;
}

SEC("perf_event")
int takes_sample(void *context)
{
    __u32 pid = bpf_get_current_pid_tgid() >> 32;
    struct sample *sample;

    /* Process 0 is what runs where nothing does. */
    if (!pid || !is_process_wanted(pid))
        return 0;
    count(COUNT_SAMPLES, 1);
    sample = bpf_ringbuf_reserve(&SAMPLES, sizeof(*sample), 0);
    if (!sample) {
        count(COUNT_FULL, 1);
        return 0;
    }
    fill(sample, context, STATE_RUNS);
    bpf_ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
    return 0;
}

/* ---- waits ---- */

struct on_switch {
    __u64 preempts;
    struct task_struct *before;
    struct task_struct *after;
};

struct task_struct___old {
    long state;
} KERNEL;

static __always_inline int is_ready(struct task_struct *task)
{
    if (bpf_core_field_exists(task->__state))
        return BPF_CORE_READ(task, __state) == 0;
    return BPF_CORE_READ((struct task_struct___old *)task, state) == 0;
}

static __always_inline void begins_to_wait(struct on_switch *context)
{
    __u64 thread = bpf_get_current_pid_tgid();
    __u32 tid = thread, zero = 0;
    struct sample *scratch;

    if (!tid || !is_process_wanted(thread >> 32))
        return;
    scratch = bpf_map_lookup_elem(&SCRATCH, &zero);
    if (!scratch)
        return;
    fill(scratch, context, is_ready(context->before) ? STATE_DELAYED : STATE_WAITED);
    if (bpf_map_update_elem(&WAITING, &tid, scratch, BPF_ANY) < 0)
        count(COUNT_NO_ROOM, 1);
}

SEC("raw_tp/sched_switch")
int threads_switch(struct on_switch *context)
{
    struct task_struct *after = context->after;
    __u32 tid = BPF_CORE_READ(after, pid);
    struct sample *waited;

    begins_to_wait(context);
    waited = tid ? bpf_map_lookup_elem(&WAITING, &tid) : 0;
    if (!waited)
        return 0;
    waited->weight = bpf_ktime_get_ns() - waited->time;
    if (waited->weight < THRESHOLD) {
        count(COUNT_SHORT, 1);
    } else {
        count(COUNT_SAMPLES, 1);
        if (bpf_ringbuf_output(&SAMPLES, waited, sizeof(*waited), BPF_RB_NO_WAKEUP) < 0)
            count(COUNT_FULL, 1);
    }
    bpf_map_delete_elem(&WAITING, &tid);
    return 0;
}

/* ---- requests ---- */

static __always_inline void reads_request(__s32 fd)
{
    __u32 tid = bpf_get_current_pid_tgid();
    struct ends read = {};
    struct sock_common *ends;
    struct sock *sock;
    __u64 inode = 0;
    __u16 family;

    sock = socket_in_place(fd, &inode);
    if (!sock)
        return;
    ends = &sock->__sk_common;
    family = BPF_CORE_READ(ends, skc_family);
    read.local_port = BPF_CORE_READ(ends, skc_num);
    if ((family != AF_INET && family != AF_INET6) || !in_ports(read.local_port))
        return;
    read.remote_port = bpf_ntohs(BPF_CORE_READ(ends, skc_dport));
    if (family == AF_INET) {
        BPF_CORE_READ_INTO((__u32 *)read.local, ends, skc_rcv_saddr);
        BPF_CORE_READ_INTO((__u32 *)read.remote, ends, skc_daddr);
    } else {
        read.is_v6 = 1;
        bpf_core_read(read.local, 16, &ends->skc_v6_rcv_saddr);
        bpf_core_read(read.remote, 16, &ends->skc_v6_daddr);
    }
    read.since = bpf_ktime_get_ns();
    bpf_map_update_elem(&REQUESTS, &tid, &read, BPF_ANY);
}

/* A thread is at the request that it last read from a client, until it waits for any of several. */
SEC("tp_btf/sys_exit")
int call_returns(__u64 *context)
{
    struct pt_regs *registers = (void *)context[0];
    __s64 result = context[1];
    __u64 thread = bpf_get_current_pid_tgid();
    __u32 tid = thread;

    if (!is_process_wanted(thread >> 32))
        return 0;
    switch (CALL_NUMBER(registers)) {
    case CALL_READ:
    case CALL_RECVFROM:
    case CALL_READV:
    case CALL_RECVMSG:
        if (result > 0)
            reads_request(ARGUMENT_0(registers));
        break;
#ifdef CALL_EPOLL_WAIT
    case CALL_EPOLL_WAIT:
#endif
    case CALL_EPOLL_PWAIT:
    case CALL_EPOLL_PWAIT2:
        bpf_map_delete_elem(&REQUESTS, &tid);
        break;
    }
    return 0;
}

/* ---- processes ---- */

SEC("raw_tp/sched_process_free")
int thread_is_freed(struct on_exit_process *context)
{
    struct task_struct *task = context->task;
    __u32 tid = BPF_CORE_READ(task, pid);
    __u32 pid = BPF_CORE_READ(task, tgid);

    bpf_map_delete_elem(&WAITING, &tid);
    bpf_map_delete_elem(&REQUESTS, &tid);
    if (tid == pid)
        bpf_map_delete_elem(&PIDS, &pid);
    return 0;
}
