// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Requests, their status classes and durations, counted in the kernel: no record of one leaves it. Seen at the sockets of
// control groups, as in network.bpf.c; nothing is altered, and everything is let through.
#include "ports.h"
#include "packet.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Tell control groups apart. Set by whoever loads it. */
const volatile __u32 BY_GROUP = 0;

/* What answered. */
enum class {
    CLASS_OTHER = 0, /* something that is not HTTP/1 */
    /* 1 to 5: the first digit of the status */
    CLASS_NONE = 6, /* nobody: the connection ended */
};

struct series {
    __u64 group;
    __u16 port;
    __u8 class;
    __u8 is_client;
    __u32 padding;
};

/* Durations are counted in units of 2^-30 s, in four buckets for each doubling from 2^10 of them (a microsecond) on: those
 * of an exponential histogram of seconds, of scale 2. What is longer than the last one (a thousand seconds) is in it.
 */
#define FIRST_DOUBLING 10
#define BUCKETS 120

struct durations {
    __u64 requests;
    __u64 nanos;
    __u64 shorter; /* than the first bucket */
    __u64 buckets[BUCKETS];
};

/* Its size is set by whoever loads it. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 256);
    __type(key, struct series);
    __type(value, struct durations);
} SERIES SEC(".maps");

/* What a series begins with. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct durations);
} NOTHING SEC(".maps");

/* A request that is waiting for its answer. */
struct waiting {
    __u64 since; /* nanoseconds; 0 where there is none */
    __u32 is_http;
    __u32 padding;
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct waiting);
} WAITING SEC(".maps");

enum counter {
    COUNT_REQUESTS,  /* that began */
    COUNT_COUNTED,   /* in a series */
    COUNT_NO_ROOM,   /* there were too many series */
    COUNT_FRAGMENTS, /* IP packets that are parts of others: passed over */
    COUNTERS,
};

#include "counts.h"

/* Where TCP begins in the packet, or 0. */
static __always_inline __u32 find_tcp(struct __sk_buff *skb, __u32 *end)
{
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        struct ipv4 ip;

        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0 || ip.protocol != IPPROTO_TCP)
            return 0;
        if (ip.fragment & bpf_htons(0x3fff)) {
            count(COUNT_FRAGMENTS, 1);
            return 0;
        }
        *end = ip.total ? bpf_ntohs(ip.total) : skb->len;
        return (ip.version_length & 15) * 4;
    }
    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        struct ipv6 ip;
        __u32 at = sizeof(ip);
        __u8 next[2];

        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
            return 0;
        *end = ip.payload ? sizeof(ip) + bpf_ntohs(ip.payload) : skb->len;
        if (ip.next == IPPROTO_HOPOPTS) {
            if (bpf_skb_load_bytes(skb, at, next, sizeof(next)) < 0)
                return 0;
            at += 8 + next[1] * 8;
            ip.next = next[0];
        }
        return ip.next == IPPROTO_TCP ? at : 0;
    }
    return 0;
}

#define WORD(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)

/* Whether these are the first bytes of a request of HTTP/1, by its method (RFC 9110, 5789). */
static __always_inline int is_request(const __u8 *first)
{
    switch (WORD(first[0], first[1], first[2], first[3])) {
    case WORD('G', 'E', 'T', ' '):
    case WORD('P', 'U', 'T', ' '):
        return first[4] == '/' || first[4] == 'h';
    case WORD('P', 'O', 'S', 'T'):
    case WORD('H', 'E', 'A', 'D'):
        return first[4] == ' ';
    case WORD('D', 'E', 'L', 'E'):
        return first[4] == 'T' && first[5] == 'E' && first[6] == ' ';
    case WORD('P', 'A', 'T', 'C'):
        return first[4] == 'H' && first[5] == ' ';
    case WORD('O', 'P', 'T', 'I'):
        return first[4] == 'O' && first[5] == 'N' && first[6] == 'S' && first[7] == ' ';
    case WORD('T', 'R', 'A', 'C'):
        return first[4] == 'E' && first[5] == ' ';
    case WORD('C', 'O', 'N', 'N'):
        return first[4] == 'E' && first[5] == 'C' && first[6] == 'T' && first[7] == ' ';
    }
    return 0;
}

/* The first digit of the status that these bytes begin with, or 0: `HTTP/1.1 200`. */
static __always_inline __u8 status_class(const __u8 *first)
{
    if (WORD(first[0], first[1], first[2], first[3]) != WORD('H', 'T', 'T', 'P') || first[4] != '/' || first[5] != '1'
        || first[8] != ' ' || first[9] < '1' || first[9] > '5')
        return 0;
    return first[9] - '0';
}

/* 2^(31 + 1/4), 2^(31 + 2/4), 2^(31 + 3/4), rounded up: what is below is in the bucket before. */
#define QUARTER_1 2553802834U
#define QUARTER_2 3037000500U
#define QUARTER_3 3611622603U

/* The bucket of so many units; below the first one, -1. A bucket has its upper bound, as OTLP says. */
static __always_inline __s32 bucket_of(__u64 units)
{
    __u64 left = units;
    __u32 doubling = 0, within;
    __s32 bucket;

    if (units <= 1 << FIRST_DOUBLING)
        return -1;
#define HALVE(bits)                                                                                                     \
    if (left >> (bits)) {                                                                                               \
        left >>= (bits);                                                                                                \
        doubling += (bits);                                                                                             \
    }
    HALVE(32)
    HALVE(16)
    HALVE(8)
    HALVE(4)
    HALVE(2)
    HALVE(1)
    /* Its 32 highest bits. */
    within = doubling > 31 ? units >> (doubling - 31) : units << (31 - doubling);
    bucket = 4 * ((__s32)doubling - FIRST_DOUBLING);
    if (within >= QUARTER_3)
        bucket += 3;
    else if (within >= QUARTER_2)
        bucket += 2;
    else if (within >= QUARTER_1)
        bucket += 1;
    else if (!(units & (units - 1)))
        bucket -= 1;
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static __always_inline void put(struct __sk_buff *skb, __u16 port, int is_client, __u8 class, __u64 nanos)
{
    struct series key = { .port = port, .class = class, .is_client = is_client };
    struct durations *of;
    __s32 bucket;

    if (BY_GROUP)
        key.group = bpf_skb_cgroup_id(skb);
    of = bpf_map_lookup_elem(&SERIES, &key);
    if (!of) {
        __u32 zero = 0;
        struct durations *nothing = bpf_map_lookup_elem(&NOTHING, &zero);

        if (nothing)
            bpf_map_update_elem(&SERIES, &key, nothing, BPF_NOEXIST);
        of = bpf_map_lookup_elem(&SERIES, &key);
        if (!of) {
            count(COUNT_NO_ROOM, 1);
            return;
        }
    }
    /* 2^30 units are 10^9 ns. */
    bucket = bucket_of(nanos * 1125900 >> 20);
    __sync_fetch_and_add(&of->requests, 1);
    __sync_fetch_and_add(&of->nanos, nanos);
    if (bucket < 0)
        __sync_fetch_and_add(&of->shorter, 1);
    else if (bucket < BUCKETS)
        __sync_fetch_and_add(&of->buckets[bucket], 1);
    count(COUNT_COUNTED, 1);
}

static __always_inline void asked(struct waiting *waiting, int is_http, int may_be_other)
{
    /* What follows the beginning of a request belongs to it. */
    if (waiting->since)
        return;
    if (is_http)
        waiting->is_http = 1;
    else if (waiting->is_http || !may_be_other)
        return;
    waiting->since = bpf_ktime_get_ns();
    count(COUNT_REQUESTS, 1);
}

static __always_inline void see(struct __sk_buff *skb, int is_sent)
{
    __u16 local = skb->local_port, port = local;
    int is_client = 0, is_question;
    __u32 at, end = 0, flags, length;
    struct waiting *waiting;
    struct bpf_sock *sock;
    __u8 first[12] = {};
    struct tcp tcp;

    if (!is_worth_a_look(skb))
        return;
    if (!WANT_ALL && !in_ports(local)) {
        is_client = 1;
        port = bpf_ntohl(skb->remote_port);
    } else if (WANT_ALL && in_ports(local)) {
        return;
    }
    at = find_tcp(skb, &end);
    if (!at || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) < 0)
        return;
    at += (tcp.offset >> 4) * 4;
    if (end > skb->len)
        end = skb->len;
    length = end > at ? end - at : 0;
    flags = tcp.flags;
    if (!length && !(flags & (TCP_FIN | TCP_RST)))
        return;
    sock = skb->sk;
    if (!sock)
        return;
    is_question = is_sent == is_client;
    if (length >= sizeof(first))
        bpf_skb_load_bytes(skb, at, first, sizeof(first));
    if (is_question) {
        /* Where every port is wanted, whoever is asked over HTTP/1 is a server; all others may be either. */
        int is_http = is_request(first);

        if (length && (is_http || !WANT_ALL)) {
            waiting = bpf_sk_storage_get(&WAITING, sock, 0, BPF_SK_STORAGE_GET_F_CREATE);
            if (waiting)
                asked(waiting, is_http, !WANT_ALL);
        }
        if (!(flags & TCP_RST))
            return;
    }
    waiting = bpf_sk_storage_get(&WAITING, sock, 0, 0);
    if (!waiting || !waiting->since)
        return;
    if (!is_question && length) {
        __u8 class = status_class(first);

        /* Interim answers are none (but 101, which ends HTTP), nor is the rest of one. */
        if (!waiting->is_http || class > 1 || (class == 1 && first[11] == '1')) {
            put(skb, port, is_client, waiting->is_http ? class : CLASS_OTHER, bpf_ktime_get_ns() - waiting->since);
            waiting->since = 0;
            return;
        }
    }
    if (flags & (TCP_FIN | TCP_RST)) {
        put(skb, port, is_client, CLASS_NONE, bpf_ktime_get_ns() - waiting->since);
        waiting->since = 0;
    }
}

SEC("cgroup_skb/egress")
int aggregate_out(struct __sk_buff *skb)
{
    see(skb, 1);
    return 1;
}

SEC("cgroup_skb/ingress")
int aggregate_in(struct __sk_buff *skb)
{
    see(skb, 0);
    return 1;
}
