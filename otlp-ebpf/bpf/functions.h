/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What processes read and write, seen at the kernel's own functions of TCP, where there are probes at these: fentry and
 * fexit, or kprobes and kretprobes. Where system calls are seen it is known which descriptor; here it is the socket, so
 * that also io_uring, calls for several messages and processes of 32 bits are seen, but not Unix-domain sockets.
 *
 * What a function is to move is noted as it is entered, for by the end of it the kernel has moved on in its list of
 * buffers; told when it returns, when the bytes are there and it is known how many.
 *
 * Bytes that move in other ways, or past a return that had no room to be watched (kretprobes have a bound), are found by
 * the numbers of TCP: what comes next is told with its own, behind a gap.
 */
#ifndef OTLP_FUNCTIONS_H
#define OTLP_FUNCTIONS_H

#define MSG_OOB 1
#define MSG_TRUNC 0x20

struct tcp_sock {
    __u32 write_seq;  /* of the next byte that is written into the socket */
    __u32 copied_seq; /* of the next byte that is read from it */
} KERNEL;

/* Where the bytes are: in one buffer, in several, or in what is no memory of a process. */
enum iter_type {
    ITER_IOVEC,
    ITER_UBUF, /* Linux 6.0 */
};

struct iov_iter {
    __u8 iter_type;
    __u64 iov_offset;
    __u64 count;
    void *ubuf;
    const struct iovec *__iov;
    unsigned long nr_segs;
} KERNEL;

/* Before Linux 6.4. */
struct iov_iter___named {
    const struct iovec *iov;
} KERNEL;

/* Before Linux 5.14: in its lowest bit it has the direction. */
struct iov_iter___typed {
    __u32 type;
} KERNEL;

struct msghdr {
    struct iov_iter msg_iter;
} KERNEL;

/* A function that is being run. */
struct moving {
    __u64 sock;
    struct memory memory;
    __u32 before; /* number of its first byte, if nobody else comes between */
    __u32 padding;
};

/* By the threads that run them. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, struct moving);
} MOVING SEC(".maps");

static __always_inline __u32 tcp_number(struct sock *sock, int is_sent)
{
    struct tcp_sock *tcp = (void *)sock;

    return is_sent ? BPF_CORE_READ(tcp, write_seq) : BPF_CORE_READ(tcp, copied_seq);
}

static __always_inline __u32 iter_type(struct iov_iter *iter)
{
    struct iov_iter___typed *typed = (void *)iter;

    return bpf_core_field_exists(iter->iter_type) ? BPF_CORE_READ(iter, iter_type) : BPF_CORE_READ(typed, type) & ~1U;
}

/* The buffers of a message; none where they are not memory of a process, as what sendfile sends. */
static __always_inline void memory_of(struct msghdr *message, struct memory *to)
{
    struct iov_iter *iter = __builtin_preserve_access_index(&message->msg_iter);
    struct iov_iter___named *named = (void *)iter;
    __u64 offset = BPF_CORE_READ(iter, iov_offset);
    __u32 type = iter_type(iter);
    const struct iovec *vector;
    struct iovec first;

    if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) && type == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
        to->at = (__u64)BPF_CORE_READ(iter, ubuf) + offset;
        to->bytes = BPF_CORE_READ(iter, count);
        return;
    }
    if (type != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
        return;
    vector = bpf_core_field_exists(iter->__iov) ? BPF_CORE_READ(iter, __iov) : BPF_CORE_READ(named, iov);
    if (bpf_probe_read_kernel(&first, sizeof(first), vector) < 0 || first.bytes < offset)
        return;
    to->at = first.at + offset;
    to->bytes = first.bytes - offset;
    to->vector = (__u64)(vector + 1);
    to->vectors = BPF_CORE_READ(iter, nr_segs) - 1;
    to->is_vector_ours = 1;
}

/* Without a message what moves is told by its length. Global, so that it is there once for all programs. */
__attribute__((noinline)) int function_enters(__u64 sock, __u64 message, int is_sent)
{
    __u64 thread = bpf_get_current_pid_tgid();
    struct moving moving = { .sock = sock };

    if (!is_caller_wanted())
        return 0;
    /* Cipher text: what it says is told by the library. */
    if (WANT_TLS && bpf_map_lookup_elem(&TLS_CALLS, &thread))
        return 0;
    if (message)
        memory_of((void *)message, &moving.memory);
    moving.before = tcp_number((void *)sock, is_sent);
    bpf_map_update_elem(&MOVING, &thread, &moving, BPF_ANY);
    return 0;
}

/* The last two of what tcp_recvmsg is given: flags, and where to put the length of an address; before Linux 5.19 the flags
 * came in two parts. An address of the kernel has its upper half set.
 */
static __always_inline int receive_enters(__u64 sock, __u64 message, __u64 first, __u64 second)
{
    __u32 flags = first | (second >> 32 ? 0 : second);

    if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
        return 0;
    return function_enters(sock, flags & MSG_TRUNC ? 0 : message, 0);
}

/* Begins to know the connection of a socket: its numbers begin with those of a call that began with `before`. Global, so
 * that its stack is not there while bytes are told.
 */
__attribute__((noinline)) int connection_begins(__u64 sock, __u32 before, int is_sent)
{
    struct key key = { .socket = sock, .kind = KIND_CALL };
    struct connection fresh = {};

    if (!describe_tcp((void *)sock, &fresh))
        return 0;
    fresh.start = bpf_get_prandom_u32();
    fresh.first_sent = is_sent ? before : tcp_number((void *)sock, 1);
    fresh.first_received = is_sent ? tcp_number((void *)sock, 0) : before;
    bpf_map_update_elem(&CONNECTIONS, &key, &fresh, BPF_NOEXIST);
    return 1;
}

/* What is known of the connection that a call moved bytes of. */
static __always_inline struct connection *connection_at(const struct moving *moving, int is_sent)
{
    struct key key = { .socket = moving->sock, .kind = KIND_CALL };
    struct connection *known = bpf_map_lookup_elem(&CONNECTIONS, &key);

    if (known || !connection_begins(moving->sock, moving->before, is_sent))
        return known;
    return bpf_map_lookup_elem(&CONNECTIONS, &key);
}

/* Leaves room for bytes that moved and were not seen, where TCP's numbers are those of this call alone. */
static __always_inline void pass_unseen(struct connection *of, const struct moving *moving, int is_sent, __u64 bytes)
{
    __u32 begins = moving->before - (is_sent ? of->first_sent : of->first_received);
    __u32 unseen = begins - (__u32)(is_sent ? of->sent : of->received);

    if ((__s32)unseen <= 0 || tcp_number((void *)moving->sock, is_sent) - moving->before != (__u32)bytes)
        return;
    __sync_fetch_and_add(is_sent ? &of->sent : &of->received, unseen);
    count(COUNT_UNSEEN, unseen);
}

__attribute__((noinline)) int function_returns(int result, int is_sent)
{
    __u64 thread = bpf_get_current_pid_tgid();
    struct moving *known = bpf_map_lookup_elem(&MOVING, &thread), moving;
    struct connection *connection;

    if (!known)
        return 0;
    moving = *known;
    bpf_map_delete_elem(&MOVING, &thread);
    /* Nothing, or no end: a message of no bytes is none of a stream. */
    if (result < 0 || (result == 0 && is_sent))
        return 0;
    connection = connection_at(&moving, is_sent);
    if (!connection)
        return 0;
    pass_unseen(connection, &moving, is_sent, result);
    tell(connection, KIND_CALL, is_sent, &moving.memory, result);
    return 0;
}

/* ---- kprobes ---- */

SEC("kprobe/tcp_sendmsg")
int probe_sends(REGISTERS *context)
{
    return function_enters(PARAMETER_0(context), PARAMETER_1(context), 1);
}

SEC("kretprobe/tcp_sendmsg")
int return_sends(REGISTERS *context)
{
    return function_returns((__s32)RETURNED(context), 1);
}

/* tcp_sendpage, before Linux 6.5: what sendfile and splice send. */
SEC("kprobe/tcp_sendpage")
int probe_sends_page(REGISTERS *context)
{
    return function_enters(PARAMETER_0(context), 0, 1);
}

SEC("kretprobe/tcp_sendpage")
int return_sends_page(REGISTERS *context)
{
    return function_returns((__s32)RETURNED(context), 1);
}

SEC("kprobe/tcp_recvmsg")
int probe_receives(REGISTERS *context)
{
    return receive_enters(PARAMETER_0(context), PARAMETER_1(context), PARAMETER_3(context),
                          PARAMETER_4(context));
}

SEC("kretprobe/tcp_recvmsg")
int return_receives(REGISTERS *context)
{
    return function_returns((__s32)RETURNED(context), 0);
}

/* tcp_splice_read: into a pipe. */
SEC("kprobe/tcp_splice_read")
int probe_splices(REGISTERS *context)
{
    struct socket *socket = (void *)PARAMETER_0(context);

    return function_enters((__u64)BPF_CORE_READ(socket, sk), 0, 0);
}

SEC("kretprobe/tcp_splice_read")
int return_splices(REGISTERS *context)
{
    return function_returns((__s32)RETURNED(context), 0);
}

/* ---- fentry and fexit ---- */

static __always_inline __u64 argument(void *context, __u32 at)
{
    __u64 value = 0;

    bpf_get_func_arg(context, at, &value);
    return value;
}

static __always_inline __s32 returned(void *context)
{
    __u64 value = 0;

    bpf_get_func_ret(context, &value);
    return value;
}

SEC("fentry/tcp_sendmsg")
int entry_sends(void *context)
{
    return function_enters(argument(context, 0), argument(context, 1), 1);
}

SEC("fexit/tcp_sendmsg")
int exit_sends(void *context)
{
    return function_returns(returned(context), 1);
}

SEC("fentry/tcp_sendpage")
int entry_sends_page(void *context)
{
    return function_enters(argument(context, 0), 0, 1);
}

SEC("fexit/tcp_sendpage")
int exit_sends_page(void *context)
{
    return function_returns(returned(context), 1);
}

SEC("fentry/tcp_recvmsg")
int entry_receives(void *context)
{
    return receive_enters(argument(context, 0), argument(context, 1), argument(context, 3),
                          argument(context, 4));
}

SEC("fexit/tcp_recvmsg")
int exit_receives(void *context)
{
    return function_returns(returned(context), 0);
}

SEC("fentry/tcp_splice_read")
int entry_splices(void *context)
{
    struct socket *socket = (void *)argument(context, 0);

    return function_enters((__u64)BPF_CORE_READ(socket, sk), 0, 0);
}

SEC("fexit/tcp_splice_read")
int exit_splices(void *context)
{
    return function_returns(returned(context), 0);
}

#endif
