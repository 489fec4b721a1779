/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Counters, one of each for a processor. Whoever includes this has said before which there are: `enum counter`, whose last
 * one is COUNTERS.
 */
#ifndef OTLP_COUNTS_H
#define OTLP_COUNTS_H

struct counters {
    __u64 of[COUNTERS];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counters);
} COUNTS SEC(".maps");

static __always_inline struct counters *counters(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&COUNTS, &zero);
}

/* Interrupts may come between, so it takes an atomic addition also on a counter of one processor. In assembler, for what
 * is compiled from C may choose the counter by a number in a register, which a loader without CAP_PERFMON may not.
 */
#define add(to, which, amount)                                                                                          \
    ({                                                                                                                  \
        struct counters *_to = (to);                                                                                    \
        __u64 _amount = (amount);                                                                                       \
        if (_to)                                                                                                        \
            asm volatile("lock *(u64 *)(%0 + %1) += %2"                                                                 \
                         :                                                                                              \
                         : "r"(_to), "i"((which) * sizeof(__u64)), "r"(_amount)                                         \
                         : "memory");                                                                                   \
    })

#define count(which, amount) add(counters(), which, amount)

#endif
