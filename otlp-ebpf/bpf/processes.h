/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Which processes are wanted, and their children with them.
 */
#ifndef OTLP_PROCESSES_H
#define OTLP_PROCESSES_H

#include "kernel.h"

/* Set by whoever loads it: every process, else those in PIDS. */
const volatile __u32 WANT_EVERY_PROCESS = 0;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u32);
} PIDS SEC(".maps");

static __always_inline int is_process_wanted(__u32 pid)
{
    return WANT_EVERY_PROCESS || bpf_map_lookup_elem(&PIDS, &pid) != 0;
}

struct on_fork {
    struct task_struct *parent;
    struct task_struct *child;
};

SEC("raw_tp/sched_process_fork")
int process_forks(struct on_fork *context)
{
    struct task_struct *from = context->parent, *to = context->child;
    __u32 parent = BPF_CORE_READ(from, tgid);
    __u32 child = BPF_CORE_READ(to, tgid);
    __u32 *wanted = bpf_map_lookup_elem(&PIDS, &parent);

    if (wanted && parent != child)
        bpf_map_update_elem(&PIDS, &child, wanted, BPF_ANY);
    return 0;
}

struct on_exit_process {
    struct task_struct *task;
};

#endif
