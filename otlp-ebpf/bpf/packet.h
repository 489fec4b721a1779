/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Heads of packets, and what can be told of one before it is looked at.
 */
#ifndef OTLP_PACKET_H
#define OTLP_PACKET_H

#include "ports.h"

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define IPPROTO_TCP 6
#define IPPROTO_HOPOPTS 0

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct ipv4 {
    __u8 version_length;
    __u8 service;
    __be16 total;
    __be16 id;
    __be16 fragment;
    __u8 hops;
    __u8 protocol;
    __be16 check;
    __be32 from;
    __be32 to;
};

struct ipv6 {
    __be32 version_flow;
    __be16 payload;
    __u8 next;
    __u8 hops;
    __be32 from[4];
    __be32 to[4];
};

struct tcp {
    __be16 from;
    __be16 to;
    __be32 sequence;
    __be32 acknowledged;
    __u8 offset;
    __u8 flags;
    __be16 window;
    __be32 check_urgent;
};

/* Whether the other end of a socket's connection is on this machine. */
static __always_inline int is_within(struct __sk_buff *skb)
{
    __u32 first, second, third, last;

    if (skb->family == AF_INET)
        return skb->remote_ip4 == skb->local_ip4 || (skb->remote_ip4 & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
    if (skb->family != AF_INET6)
        return 0;
    first = skb->remote_ip6[0];
    second = skb->remote_ip6[1];
    third = skb->remote_ip6[2];
    last = skb->remote_ip6[3];
    if (first == skb->local_ip6[0] && second == skb->local_ip6[1] && third == skb->local_ip6[2]
        && last == skb->local_ip6[3])
        return 1;
    if (first || second)
        return 0;
    return third ? third == bpf_htonl(0xffff) && (last & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000)
                 : last == bpf_htonl(1);
}

/* Before anything is read of a packet: whether the ports of its socket can be wanted ones. What is asked of the socket
 * is a load each, no call.
 */
static __always_inline int is_worth_a_look(struct __sk_buff *skb)
{
    if (WANT_ALL || in_ports(skb->local_port))
        return 1;
    /* The other end is told where it is on this machine. */
    return in_ports(bpf_ntohl(skb->remote_port)) && !is_within(skb);
}

#endif
