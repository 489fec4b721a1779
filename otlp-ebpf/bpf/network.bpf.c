// SPDX-License-Identifier: MIT OR Apache-2.0
//
// TCP segments of a control group's sockets, as they enter and leave: whatever system call, sendfile, splice or
// io_uring moved the bytes. Nothing is altered, and everything is let through.
//
// Compiled twice: with PER_CPU for kernels without a ring (before Linux 5.8), which know less besides. Records are put
// together in memory of the kernel then, and copied into the buffer of their processor.
#include "record.h"

#ifdef PER_CPU
#define SCRATCH_BYTES LARGE
#endif

#include "mask.h"
#include "packet.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Whether bpf_get_netns_cookie is there for these programs (Linux 6.15). */
const volatile __u32 HAS_NETNS = 0;

/* Pass over what is encrypted by TLS. */
const volatile __u32 SKIP_TLS = 0;

/* Connections, by the cookies of their sockets, that were seen to be of TLS. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, __u8);
} ENCRYPTED SEC(".maps");

struct segment {
    struct record head;
    __u32 at; /* of the first byte that is not told yet, in the packet */
    int is_loopback;
    struct policy policy;
};

/* 64 KiB of payload at most, and a piece for the end. */
#define MOST_PIECES 18

/* Loads bytes of a packet: one at least, and no more than there is room for. Verifiers before Linux 6.2 do not learn from a
 * comparison with 0 that a number is more than that, so it is told apart from the number before, in the compiler's absence.
 */
static __always_inline int load(struct __sk_buff *skb, __u32 at, void *to, __u32 bytes, __u32 room)
{
    __u64 last = bytes - 1;

    asm volatile("" : "+r"(last));
    return last < room && bpf_skb_load_bytes(skb, at, to, last + 1) == 0;
}

/* Takes bytes of a packet into memory of the kernel, where they may be masked, and puts them. */
static __always_inline int put_copied(struct __sk_buff *skb, struct segment *segment, struct counters *counters, __u32 room)
{
    struct masking *masking = masking_of(&segment->head, segment->policy.group);
    __u32 wanted = segment->head.captured;

    if (!masking)
        return 0;
    if (wanted > room)
        wanted = room;
    if (wanted > 0 && !load(skb, segment->at, masking->bytes, wanted, room)) {
        masking->head.captured = 0;
        wanted = 0;
        add(counters, COUNT_UNREADABLE, 1);
    }
    if (segment->policy.mode == MODE_MASKED)
        return put_mask(skb, masking, counters);
    return put_whole(skb, masking, wanted);
}

#ifndef PER_CPU

/* Puts one record into the ring, of at most so many bytes. */
#define PUT(skb, segment, counters, bytes, room)                                                                        \
    ({                                                                                                                  \
        struct { struct record head; __u8 bytes[room]; } *to = bpf_ringbuf_reserve(&RECORDS, sizeof(*to), 0);         \
        if (to) {                                                                                                       \
            to->head = (segment)->head;                                                                                 \
            __u32 wanted = (bytes);                                                                                     \
            if (wanted > (room))                                                                                        \
                wanted = (room);                                                                                        \
            if (wanted > 0 && !load(skb, (segment)->at, to->bytes, wanted, room)) {                                     \
                to->head.captured = 0;                                                                                  \
                add(counters, COUNT_UNREADABLE, 1);                                                                     \
            }                                                                                                           \
            SUBMIT(to);                                                                                                 \
        }                                                                                                               \
        to != 0;                                                                                                        \
    })

/* Where nothing is masked the bytes go from the packet into the ring. */
static __always_inline int put_loaded(struct __sk_buff *skb, struct segment *segment, struct counters *counters)
{
    __u32 bytes = segment->head.captured;

    if (bytes <= SMALL)
        return PUT(skb, segment, counters, bytes, SMALL);
    if (bytes <= MIDDLE)
        return PUT(skb, segment, counters, bytes, MIDDLE);
    return PUT(skb, segment, counters, bytes, LARGE);
}

#else
#define put_loaded(skb, segment, counters) put_copied(skb, segment, counters, LARGE)
#endif

static __always_inline void put(struct __sk_buff *skb, struct segment *segment)
{
    struct counters *shared = counters();
    int done;

    if (!may_tell(shared, segment->head.length))
        return;
    if (segment->policy.mode == MODE_MASKED)
        done = put_copied(skb, segment, shared, MIDDLE);
    else
        done = put_loaded(skb, segment, shared);
    was_told(shared, &segment->head, !done);
}

/* Tells a segment, in pieces where it is long; what is beyond the bound is told with the last of them. */
static __always_inline void tell(struct __sk_buff *skb, struct segment *segment)
{
    struct record *head = &segment->head;
    __u32 left = head->length;
    __u32 most = most_bytes(&segment->policy);
    __u32 wanted = left < most ? left : most;
    __u8 flags = head->flags;

    for (int piece = 0; piece < MOST_PIECES; piece++) {
        __u32 bytes = wanted < LARGE ? wanted : LARGE;
        int is_last = bytes == wanted || piece == MOST_PIECES - 1;

        head->captured = bytes;
        head->length = is_last ? left : bytes;
        /* The end comes behind the last byte. */
        head->flags = is_last ? flags : flags & ~(FLAG_FIN | FLAG_RST);
        put(skb, segment);
        if (is_last)
            break;
        left -= bytes;
        wanted -= bytes;
        segment->at += bytes;
        head->sequence += bytes + (flags & FLAG_SYN ? 1 : 0);
        flags &= ~FLAG_SYN;
    }
}

static __always_inline int is_own(const __be32 *from, const __be32 *to)
{
    int same = from[0] == to[0] && from[1] == to[1] && from[2] == to[2] && from[3] == to[3];

    return same || (to[0] == 0 && to[1] == 0 && to[2] == 0 && to[3] == bpf_htonl(1));
}

/* The heads of nearly all packets: IPv4 without options, and TCP. */
struct plain_heads {
    struct ipv4 ip;
    struct tcp tcp;
};

/* Reads the heads of such a packet where they lie, which takes no call: gives where TCP begins and where the packet
 * ends, or 0 where it must be looked at more closely. Places in it are constants, for a loader without CAP_PERFMON may not
 * add what it does not know beforehand.
 */
static __always_inline __u32 read_plain(struct __sk_buff *skb, struct segment *segment, struct tcp *tcp, __u32 *end)
{
    const struct plain_heads *heads = (void *)(long)skb->data;
    struct record *head = &segment->head;

    if ((void *)(heads + 1) > (void *)(long)skb->data_end || skb->protocol != bpf_htons(ETH_P_IP)
        || heads->ip.version_length != 0x45 || heads->ip.protocol != IPPROTO_TCP
        || heads->ip.fragment & bpf_htons(0x3fff))
        return 0;
    *(__be32 *)head->from = heads->ip.from;
    *(__be32 *)head->to = heads->ip.to;
    segment->is_loopback
        = heads->ip.from == heads->ip.to || (heads->ip.to & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
    *end = heads->ip.total ? bpf_ntohs(heads->ip.total) : skb->len;
    *tcp = heads->tcp;
    return sizeof(struct ipv4);
}

/* Reads the head of the IP packet: gives where TCP begins and where the packet ends, or 0. */
static __always_inline __u32 read_ip(struct __sk_buff *skb, struct segment *segment, __u32 *end)
{
    struct record *head = &segment->head;

    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        struct ipv4 ip;

        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0 || ip.protocol != IPPROTO_TCP)
            return 0;
        if (ip.fragment & bpf_htons(0x3fff)) {
            count(COUNT_FRAGMENTS, 1);
            return 0;
        }
        __builtin_memcpy(head->from, &ip.from, 4);
        __builtin_memcpy(head->to, &ip.to, 4);
        segment->is_loopback = ip.from == ip.to || (ip.to & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
        /* The length of a packet of more than 64 KiB is told as 0. */
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
            /* Big packets tell their length there. */
            if (bpf_skb_load_bytes(skb, at, next, sizeof(next)) < 0)
                return 0;
            at += 8 + next[1] * 8;
            ip.next = next[0];
        }
        if (ip.next != IPPROTO_TCP)
            return 0;
        head->place |= PLACE_V6;
        __builtin_memcpy(head->from, ip.from, 16);
        __builtin_memcpy(head->to, ip.to, 16);
        segment->is_loopback = is_own(ip.from, ip.to);
        return at;
    }
    return 0;
}

/* Whether a segment's bytes are those of TLS: of a connection that was seen to begin a record of it (RFC 8446, 5.1). */
static __always_inline int is_encrypted(struct __sk_buff *skb, const struct segment *segment)
{
    __u64 cookie = bpf_get_socket_cookie(skb);
    __u8 first[3], yes = 1;

    if (bpf_map_lookup_elem(&ENCRYPTED, &cookie))
        return 1;
    if (bpf_skb_load_bytes(skb, segment->at, first, sizeof(first)) < 0)
        return 0;
    if (first[0] < 20 || first[0] > 23 || first[1] != 3 || first[2] > 4)
        return 0;
    if (cookie)
        bpf_map_update_elem(&ENCRYPTED, &cookie, &yes, BPF_ANY);
    return 1;
}

/* The group of a socket that is so deep below the root. */
#define SOCKET_GROUP(depth) bpf_skb_ancestor_cgroup_id(skb, depth)

static __always_inline void see(struct __sk_buff *skb, __u8 place)
{
    struct segment segment = { .head.version = RECORD_VERSION, .head.kind = KIND_SEGMENT, .head.place = place };
    struct record *head = &segment.head;
    struct tcp tcp;
    __u32 end = 0, at;

    if (!is_worth_a_look(skb))
        return;
    at = read_plain(skb, &segment, &tcp, &end);
    if (!at) {
        at = read_ip(skb, &segment, &end);
        if (!at || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) < 0)
            return;
    }
    head->from_port = bpf_ntohs(tcp.from);
    head->to_port = bpf_ntohs(tcp.to);
    if (place & PLACE_SENT ? !is_wanted(head->from_port, head->to_port, segment.is_loopback, &head->place)
                           : !is_wanted(head->to_port, head->from_port, segment.is_loopback, &head->place))
        return;
    segment.at = at + (tcp.offset >> 4) * 4;
    if (end > skb->len)
        end = skb->len;
    head->length = end > segment.at ? end - segment.at : 0;
    head->sequence = bpf_ntohl(tcp.sequence);
    head->flags = (tcp.flags & TCP_SYN ? FLAG_SYN : 0) | (tcp.flags & TCP_FIN ? FLAG_FIN : 0)
        | (tcp.flags & TCP_RST ? FLAG_RST : 0) | (tcp.flags & TCP_ACK ? FLAG_ACK : 0);
    /* What only acknowledges is not worth a record: bytes that follow acknowledge as well. */
    if (!head->length && !(head->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST)))
        return;
    FIND_POLICY(&segment.policy, SOCKET_GROUP);
    if (segment.policy.mode == MODE_NOTHING) {
        count(COUNT_WITHHELD, 1);
        return;
    }
    if (SKIP_TLS && head->length && is_encrypted(skb, &segment)) {
        count(COUNT_ENCRYPTED, 1);
        if (!(head->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST)))
            return;
        /* The end is told, in its place. */
        head->sequence += head->length;
        head->length = 0;
    }
    head->time = bpf_ktime_get_ns();
    head->acknowledged = bpf_ntohl(tcp.acknowledged);
#ifndef PER_CPU
    /* Loopback is one network for each namespace; all others are taken for one. */
    if (HAS_NETNS && segment.is_loopback)
        head->space = bpf_get_netns_cookie(skb);
#endif
    tell(skb, &segment);
}

SEC("cgroup_skb/egress")
int network_out(struct __sk_buff *skb)
{
    see(skb, PLACE_SENT);
    return 1;
}

SEC("cgroup_skb/ingress")
int network_in(struct __sk_buff *skb)
{
    see(skb, 0);
    return 1;
}
