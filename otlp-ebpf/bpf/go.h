/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * crypto/tls of Go: what (*Conn).Read gave and what (*Conn).Write was given. A goroutine moves between threads and its
 * stack between addresses, so a call is known by its goroutine, and where it returns is a probe of its own.
 *
 * Arguments and results are in registers (Go 1.18 and later). A probe at an entry stands behind the check of the
 * stack, which begins the function anew after it has made room.
 */
#ifndef OTLP_GO_H
#define OTLP_GO_H

#if defined(__TARGET_ARCH_x86)
#define GO_FIRST(context) ((context)->ax)
#define GO_SECOND(context) ((context)->bx)
#define GO_THIRD(context) ((context)->cx)
#define GOROUTINE(context) ((context)->r14)
#else
#define GO_FIRST(context) ((context)->regs[0])
#define GO_SECOND(context) ((context)->regs[1])
#define GO_THIRD(context) ((context)->regs[2])
#define GOROUTINE(context) ((context)->regs[28])
#endif

/* Interfaces within interfaces that are looked through: a listener may wrap what it accepts. */
#define GO_MOST_WRAPS 4
/* Of a net.netFD, which begins with a poll.FD: its lock, then the descriptor. The same since Go 1.9. */
#define GO_DESCRIPTOR 16
#define GO_MOST_DESCRIPTORS (1 << 24)
/* Of the lock, whose first word is a bit for each of these, 20 bits of who uses it, and who waits for it: nobody waits for
 * what is closed.
 */
#define GO_LOCK_CLOSED 1
#define GO_LOCK_WAITERS 23
/* In place of a descriptor: there was one, and it was closed. */
#define GO_CLOSED (-2)

struct go_key {
    __u64 goroutine;
    __u64 pid;
};

struct go_read {
    __u64 buffer;
    __s32 fd;
    __u32 padding;
};

/* Goroutines that are within Read. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct go_key);
    __type(value, struct go_read);
} GO_READS SEC(".maps");

struct go_interface {
    __u64 type;
    __u64 data;
};

/* Whether a poll.FD is closed, or is being closed: its lock says so before the descriptor goes back to the kernel, and the
 * descriptor only afterwards. So it is asked for after the descriptor was looked up, which then was its own.
 */
static __always_inline int is_go_closed(__u64 net_fd)
{
    __u64 lock = 0, fd = 0;

    if (bpf_probe_read_user(&lock, sizeof(lock), (void *)net_fd) < 0
        || bpf_probe_read_user(&fd, sizeof(fd), (void *)(net_fd + GO_DESCRIPTOR)) < 0)
        return 0;
    return (__s64)fd == -1 || (fd < GO_MOST_DESCRIPTORS && lock & GO_LOCK_CLOSED && !(lock >> GO_LOCK_WAITERS));
}

/* The descriptor below a tls.Conn, whose first field is the net.Conn that it was made of. Where that is no connection
 * of package net it may be a structure that begins with one. What is found must be a socket.
 */
static __always_inline __s32 go_descriptor(__u64 connection)
{
    struct go_interface within;

    for (int wraps = 0; wraps < GO_MOST_WRAPS; wraps++) {
        __u64 net_fd = 0, inode, fd = 0;
        int is_socket;

        if (bpf_probe_read_user(&within, sizeof(within), (void *)connection) < 0 || !within.data)
            return -1;
        if (bpf_probe_read_user(&net_fd, sizeof(net_fd), (void *)within.data) < 0)
            return -1;
        if (net_fd && bpf_probe_read_user(&fd, sizeof(fd), (void *)(net_fd + GO_DESCRIPTOR)) == 0) {
            is_socket = fd < GO_MOST_DESCRIPTORS && socket_of(fd, &inode);
            if (is_go_closed(net_fd))
                return GO_CLOSED;
            if (is_socket)
                return fd;
        }
        connection = within.data;
    }
    return -1;
}

static __always_inline void go_tell(__s32 fd, int is_sent, __u64 buffer, __u64 bytes)
{
    struct connection *connection = fd >= 0 ? connection_of(fd, KIND_TLS) : 0;
    struct memory memory = { .at = buffer, .bytes = bytes };

    /* What is written to what was closed is sent to nobody. */
    if (fd < 0 && !(is_sent && fd == GO_CLOSED))
        count(COUNT_UNKNOWN, 1);
    if (connection)
        tell(connection, KIND_TLS, is_sent, &memory, bytes);
}

SEC("uprobe")
int go_read_enters(REGISTERS *context)
{
    struct go_key key = { .goroutine = GOROUTINE(context), .pid = bpf_get_current_pid_tgid() >> 32 };
    struct go_read read = { .buffer = GO_SECOND(context) };

    if (!is_caller_wanted())
        return 0;
    read.fd = go_descriptor(GO_FIRST(context));
    bpf_map_update_elem(&GO_READS, &key, &read, BPF_ANY);
    return 0;
}

SEC("uprobe")
int go_read_returns(REGISTERS *context)
{
    struct go_key key = { .goroutine = GOROUTINE(context), .pid = bpf_get_current_pid_tgid() >> 32 };
    struct go_read *known = bpf_map_lookup_elem(&GO_READS, &key), read;
    __s64 bytes = GO_FIRST(context);

    if (!known)
        return 0;
    read = *known;
    bpf_map_delete_elem(&GO_READS, &key);
    if (bytes > 0)
        go_tell(read.fd, 0, read.buffer, bytes);
    return 0;
}

/* Told before it is written: the answer may be read elsewhere before this goroutine goes on. */
SEC("uprobe")
int go_write_enters(REGISTERS *context)
{
    __s64 bytes = GO_THIRD(context);

    if (bytes > 0 && is_caller_wanted())
        go_tell(go_descriptor(GO_FIRST(context)), 1, GO_SECOND(context), bytes);
    return 0;
}

#endif
