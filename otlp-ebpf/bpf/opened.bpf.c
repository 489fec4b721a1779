// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Which process opens a connection: asked when it connects, since nothing tells afterwards without looking through
// every process's files. Nothing is altered.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define AF_INET 2

/* A field of the context. The verifier knows it only where it is read in place, which compilers do not keep to. */
#define READ(field)                                                                                                     \
    ({                                                                                                                  \
        __u32 value;                                                                                                    \
        asm volatile("%0 = *(u32 *)(%1 + %2)"                                                                           \
                     : "=r"(value)                                                                                      \
                     : "r"(ops), "i"(__builtin_offsetof(struct bpf_sock_ops, field)));                                  \
        value;                                                                                                          \
    })

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Addresses of IPv4 as those of IPv6 that stand for them (RFC 4291, 2.5.5.2). Read by src/program/opened.rs. */
struct ends {
    __be32 from[4];
    __be32 to[4];
    __u16 from_port;
    __u16 to_port;
};

struct opener {
    __u32 pid;   /* 0: the same addresses were used in two networks */
    __u32 space; /* of the network, so that those two are told apart */
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct ends);
    __type(value, struct opener);
} OPENED SEC(".maps");

SEC("sockops")
int opened(struct bpf_sock_ops *ops)
{
    struct ends ends = {};
    struct opener opener = {}, *before;

    if (ops->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
        return 1;
    if (ops->family == AF_INET) {
        ends.from[2] = ends.to[2] = bpf_htonl(0xffff);
        ends.from[3] = READ(local_ip4);
        ends.to[3] = READ(remote_ip4);
    } else {
        ends.from[0] = READ(local_ip6[0]);
        ends.from[1] = READ(local_ip6[1]);
        ends.from[2] = READ(local_ip6[2]);
        ends.from[3] = READ(local_ip6[3]);
        ends.to[0] = READ(remote_ip6[0]);
        ends.to[1] = READ(remote_ip6[1]);
        ends.to[2] = READ(remote_ip6[2]);
        ends.to[3] = READ(remote_ip6[3]);
    }
    ends.from_port = ops->local_port;
    ends.to_port = bpf_ntohl(ops->remote_port);
    opener.pid = bpf_get_current_pid_tgid() >> 32;
    opener.space = bpf_get_netns_cookie(ops);
    before = bpf_map_lookup_elem(&OPENED, &ends);
    if (before && before->space != opener.space)
        opener.pid = 0;
    bpf_map_update_elem(&OPENED, &ends, &opener, BPF_ANY);
    return 1;
}
