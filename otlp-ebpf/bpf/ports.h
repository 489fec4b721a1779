/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Which ports are wanted.
 */
#ifndef OTLP_PORTS_H
#define OTLP_PORTS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* One bit a port: wanted; or, where all are, unwanted. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} PORTS SEC(".maps");

/* Set by whoever loads it. */
const volatile __u32 WANT_ALL = 0;  /* every port that is not in PORTS */
const volatile __u32 BOTH_ENDS = 0; /* of connections within this machine: the other end may be out of sight */

static __always_inline int in_ports(__u16 port)
{
    __u32 word = port >> 6;
    __u64 *bits = bpf_map_lookup_elem(&PORTS, &word);

    return bits && (*bits >> (port & 63)) & 1;
}

#endif
