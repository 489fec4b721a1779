/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What the programs of this folder share: the layout of the records that they put into the ring, the numbers of their
 * counters, and what both need of the kernel. src/event.rs reads the same layout; a test compares the two.
 */
#ifndef OTLP_RECORD_H
#define OTLP_RECORD_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "ports.h"

/* Told in each record; raised with every change of the layout. */
#define RECORD_VERSION 1

/* How the bytes were seen. */
enum record_kind {
    KIND_SEGMENT = 1, /* a TCP segment, with the numbers of TCP */
    KIND_CALL = 2,    /* bytes of a system call; its numbers count its bytes */
    KIND_TLS = 3,     /* plain text that a TLS library read or wrote; numbers as above */
};

/* What TCP says with it. */
enum record_flags {
    FLAG_SYN = 1,
    FLAG_FIN = 2,
    FLAG_RST = 4,
    FLAG_ACK = 8,
    FLAG_OVER = 16, /* both directions have ended */
};

/* Where it was seen. */
enum record_place {
    PLACE_SENT = 1,   /* on the way out of the socket, else on the way in */
    PLACE_SERVER = 2, /* at the end whose own port is a wanted one */
    PLACE_V6 = 4,     /* addresses of 16 bytes, else of 4 */
    PLACE_UNIX = 8,   /* a Unix-domain socket: no addresses but the numbers of both sockets */
};

struct record {
    __u64 time; /* CLOCK_MONOTONIC, nanoseconds */
    __u8 version;
    __u8 kind;
    __u8 flags;
    __u8 place;
    __u32 captured; /* bytes that follow the record */
    __u32 length;   /* bytes that were carried from `sequence` on; those captured are the first of them */
    __u32 sequence;
    __u32 acknowledged;
    __u32 space; /* tells apart networks in which the same addresses mean different machines */
    __u16 from_port;
    __u16 to_port;
    __u32 pid; /* of the process that made the call; 0 where it is not known */
    __u8 from[16];
    __u8 to[16];
};

_Static_assert(sizeof(struct record) == 72, "the layout of version 1");

/* So that the type information of each object has the layout, for a test to compare. */
const struct record *const volatile LAYOUT = 0;

/* Counters, one of each for a processor. */
enum counter {
    COUNT_RECORDS,       /* records that were to be told */
    COUNT_BYTES,         /* bytes that they cover */
    COUNT_FULL_RECORDS,  /* of these: dropped, the ring was full */
    COUNT_FULL_BYTES,
    COUNT_UNREADABLE,    /* records whose bytes could not be read: told without them */
    COUNT_FRAGMENTS,     /* IP packets that are parts of others: passed over */
    COUNT_UNKNOWN,       /* calls of connections that could not be told: passed over */
    COUNT_ENCRYPTED,     /* segments of TLS: passed over where its plain text is told */
    COUNT_SHED_RECORDS,  /* records that were not to be told, because of the level */
    COUNT_SHED_BYTES,
    COUNT_NANOS,         /* what telling took: measured of one record in TIMED, times TIMED */
    COUNT_MASKED,        /* records of which the policy left nothing but the length */
    COUNT_UNSEEN,        /* bytes that moved past the functions that are watched: no records, but gaps before the next */
    COUNT_WITHHELD,      /* segments and calls that the policy of their control group keeps: no records */
    COUNTERS,
};

#include "counts.h"

#ifdef PER_CPU

/* A buffer for each processor, where the kernel has no ring (before Linux 5.8). */
struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __type(key, __u32);
    __type(value, __u32);
} RECORDS SEC(".maps");

#else

/* Its size is set by whoever loads it. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} RECORDS SEC(".maps");

#endif

/* How much is told now; raised and lowered by whoever reads. */
enum level {
    LEVEL_WHOLE,
    LEVEL_HEADS,    /* one record a segment or call, of MIDDLE bytes at most */
    LEVEL_COUNTERS, /* nothing: records and bytes are counted */
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} LEVEL SEC(".maps");

/* Set by whoever loads it. */
const volatile __u32 MOST_BYTES = 0; /* captured of a segment or call */
const volatile __u32 WAKES = 0;      /* each record wakes whoever waits for it; else the reader comes by itself */
const volatile __u32 MASKED = 0;     /* what leaves is heads, their values blanked; see mask.h */

/* Records come in a few sizes, since room is reserved in the ring for a length that is known beforehand. */
#define SMALL (256 - 8 - sizeof(struct record))
#define MIDDLE (1024 - 8 - sizeof(struct record))
#define LARGE (4096 - 8 - sizeof(struct record))

/* One record in so many is timed: a clock costs as much as a record does. */
#define TIMED 64

static __always_inline __u32 level(void)
{
    __u32 zero = 0, *set = bpf_map_lookup_elem(&LEVEL, &zero);

    return set ? *set : LEVEL_WHOLE;
}

#include "policy.h"

/* How much is captured of a segment or call. */
static __always_inline __u32 most_bytes(const struct policy *policy)
{
    return policy->bytes > MIDDLE && level() != LEVEL_WHOLE ? MIDDLE : policy->bytes;
}

/* Of every record: whether it may be told, else it is counted as one that may not. */
static __always_inline int may_tell(struct counters *counters, __u32 bytes)
{
    add(counters, COUNT_RECORDS, 1);
    add(counters, COUNT_BYTES, bytes);
    if (level() != LEVEL_COUNTERS)
        return 1;
    add(counters, COUNT_SHED_RECORDS, 1);
    add(counters, COUNT_SHED_BYTES, bytes);
    return 0;
}

/* Behind every record that was to be told. */
static __always_inline void was_told(struct counters *counters, const struct record *head, int is_full)
{
    if (is_full) {
        add(counters, COUNT_FULL_RECORDS, 1);
        add(counters, COUNT_FULL_BYTES, head->length);
    }
    if (counters && !(counters->of[COUNT_RECORDS] % TIMED))
        add(counters, COUNT_NANOS, (bpf_ktime_get_ns() - head->time) * TIMED);
}

#define SUBMIT(to) bpf_ringbuf_submit(to, WAKES ? 0 : BPF_RB_NO_WAKEUP)

/* Puts a record that lies in memory of the kernel; true where there was room. Only a program knows its context. */
#ifdef PER_CPU
#define OUTPUT(context, from, bytes) (bpf_perf_event_output(context, &RECORDS, BPF_F_CURRENT_CPU, from, bytes) == 0)
#else
#define OUTPUT(context, from, bytes) (bpf_ringbuf_output(&RECORDS, from, bytes, WAKES ? 0 : BPF_RB_NO_WAKEUP) == 0)
#endif

/* Whether a connection is wanted, and which end of it this is. 127.0.0.0/8, ::1 and one's own address are seen at both
 * ends of a connection, of which one is enough: the server's; where that is not known, the sender's.
 */
static __always_inline int is_wanted(__u16 local, __u16 remote, int is_loopback, __u8 *place)
{
    if (WANT_ALL) {
        if (is_loopback && !BOTH_ENDS && !(*place & PLACE_SENT))
            return 0;
        return !in_ports(local) && !in_ports(remote);
    }
    if (in_ports(local)) {
        *place |= PLACE_SERVER;
        return 1;
    }
    return !is_loopback && in_ports(remote);
}

#endif
