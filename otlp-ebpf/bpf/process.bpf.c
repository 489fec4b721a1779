// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What processes read and write through system calls (TCP and Unix-domain sockets), and what they read and write
// through OpenSSL: seen where the call returns, when the bytes are there and it is known how many. Or, in place of system
// calls, at the kernel's functions of TCP (functions.h).
#include "record.h"

/* The bytes of a call are gathered there: room for the largest record behind wherever one of its pieces may begin. */
#define SCRATCH_BYTES (2 * LARGE)

#include "kernel.h"
#include "mask.h"
#include "socket.h"
#include "processes.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Tell bytes that are not of TLS libraries. */
const volatile __u32 WANT_PLAIN = 0;
/* From system calls; else these are only looked at for whose TLS connection it is. */
const volatile __u32 WANT_CALLS = 0;
/* A TLS library is watched. */
const volatile __u32 WANT_TLS = 0;

struct key {
    __u64 socket; /* TCP: its address; Unix: the number of its inode */
    __u64 kind;
};

struct connection {
    __u64 sent;
    __u64 received;
    __u8 local[16];
    __u8 remote[16];
    __u16 local_port;
    __u16 remote_port;
    __u8 place;
    __u8 told;  /* enum told */
    __u8 begun; /* enum begun */
    __u8 padding;
    __u32 space;
    __u32 start; /* number of its beginning; another one each time, as TCP has it */
    __u32 first_sent; /* TCP's own numbers, where its functions are watched */
    __u32 first_received;
};

/* A connection whose two ends are on this machine is told once. */
enum told {
    TOLD_BOTH, /* what this end sends, and what it receives */
    TOLD_SENT, /* only what it sends: the other end tells the rest */
    TOLD_NOT,  /* the other end tells all */
};

/* Its size is set by whoever loads it; the least recently used make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct key);
    __type(value, struct connection);
} CONNECTIONS SEC(".maps");

struct tls_call {
    __u64 ssl;
    __u64 buffer;
    __u64 count; /* where the number of bytes is told; 0 where it is returned */
    __s32 fd;    /* met in a system call within; -1 before */
    __u32 padding;
};

/* Threads that are within a call of a TLS library. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, struct tls_call);
} TLS_CALLS SEC(".maps");

struct tls_key {
    __u64 ssl;
    __u64 pid;
};

/* The file descriptor that a TLS connection was last seen to use. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct tls_key);
    __type(value, __s32);
} TLS_FDS SEC(".maps");

static __always_inline int is_caller_wanted(void)
{
    return is_process_wanted(bpf_get_current_pid_tgid() >> 32);
}

/* Whether its beginning was seen and is still to be told, before its first bytes. */
enum begun {
    BEGUN_TOLD, /* or not seen */
    BEGUN_BY_US,
    BEGUN_BY_PEER,
};

/* ---- sockets ---- */

static __always_inline int is_own_address(const struct connection *of)
{
    const __u32 *local = (const void *)of->local, *remote = (const void *)of->remote;

    if (!(of->place & PLACE_V6))
        return local[0] == remote[0] || of->remote[0] == 127;
    return (local[0] == remote[0] && local[1] == remote[1] && local[2] == remote[2] && local[3] == remote[3])
        || (remote[0] == 0 && remote[1] == 0 && remote[2] == 0 && remote[3] == bpf_htonl(1))
        || (remote[0] == 0 && remote[1] == 0 && remote[2] == bpf_htonl(0xffff) && of->remote[12] == 127);
}

/* Fills in the ends of a TCP connection; 0 where it is not wanted. */
static __always_inline int describe_tcp(struct sock *sock, struct connection *to)
{
    struct sock_common *ends = &sock->__sk_common;
    __u16 family = BPF_CORE_READ(ends, skc_family);
    int is_loopback;

    if (family == AF_INET) {
        BPF_CORE_READ_INTO((__u32 *)to->local, ends, skc_rcv_saddr);
        BPF_CORE_READ_INTO((__u32 *)to->remote, ends, skc_daddr);
    } else if (family == AF_INET6) {
        to->place |= PLACE_V6;
        bpf_core_read(to->local, 16, &ends->skc_v6_rcv_saddr);
        bpf_core_read(to->remote, 16, &ends->skc_v6_daddr);
    } else {
        return 0;
    }
    to->local_port = BPF_CORE_READ(ends, skc_num);
    to->remote_port = bpf_ntohs(BPF_CORE_READ(ends, skc_dport));
    is_loopback = is_own_address(to);
    to->told = WANT_ALL && is_loopback && !BOTH_ENDS ? TOLD_SENT : TOLD_BOTH;
    if (is_loopback)
        to->space = BPF_CORE_READ(ends, skc_net.net, net_cookie);
    /* Both directions are seen at one end, so the end alone decides. */
    to->place |= PLACE_SENT;
    if (!to->remote_port || !is_wanted(to->local_port, to->remote_port, is_loopback, &to->place))
        return 0;
    to->place &= ~PLACE_SENT;
    return 1;
}

/* Fills in the ends of a Unix-domain connection: the numbers of the two sockets. */
static __always_inline int describe_unix(struct sock *sock, __u64 inode, struct connection *to)
{
    struct sock *peer = BPF_CORE_READ((struct unix_sock *)sock, peer);
    struct socket *socket = peer ? BPF_CORE_READ(peer, sk_socket) : 0;
    __u64 other = socket ? BPF_CORE_READ((struct socket_alloc *)socket, vfs_inode.i_ino) : 0;

    if (!other)
        return 0;
    to->place |= PLACE_UNIX;
    to->told = WANT_EVERY_PROCESS && !BOTH_ENDS ? TOLD_SENT : TOLD_BOTH;
    __builtin_memcpy(to->local, &inode, sizeof(inode));
    __builtin_memcpy(to->remote, &other, sizeof(other));
    return 1;
}

/* What is known of the connection of a socket; begins to know it where it is new. */
static __always_inline struct connection *connection_with(struct sock *sock, __u64 inode, __u64 kind)
{
    struct connection fresh = {}, *known;
    struct key key = { .kind = kind };
    int is_unix;

    is_unix = BPF_CORE_READ(sock, __sk_common.skc_family) == AF_UNIX;
    key.socket = is_unix ? inode : (__u64)sock;
    known = bpf_map_lookup_elem(&CONNECTIONS, &key);
    if (known)
        return known;
    if (is_unix ? !describe_unix(sock, inode, &fresh) : !describe_tcp(sock, &fresh))
        return 0;
    fresh.start = bpf_get_prandom_u32();
    bpf_map_update_elem(&CONNECTIONS, &key, &fresh, BPF_NOEXIST);
    return bpf_map_lookup_elem(&CONNECTIONS, &key);
}

/* The same, of the socket behind a descriptor. */
static __always_inline struct connection *connection_of(__s32 fd, __u64 kind)
{
    __u64 inode = 0;
    struct sock *sock = socket_of(fd, &inode);

    return sock ? connection_with(sock, inode, kind) : 0;
}

/* ---- records ---- */

#define MOST_PIECES 32

/* Bytes in a process, in one piece or in several. */
struct memory {
    __u64 at;
    __u64 bytes;
    __u64 vector;
    __u32 vectors;
    __u32 is_vector_ours; /* the list of pieces is in the kernel */
};

struct iovec {
    __u64 at;
    __u64 bytes;
};

static __always_inline int read_piece(struct iovec *to, const struct memory *from)
{
    void *at = (void *)from->vector;

    return (from->is_vector_ours ? bpf_probe_read_kernel(to, sizeof(*to), at) : bpf_probe_read_user(to, sizeof(*to), at))
        == 0;
}

/* Tells a record without bytes. Not inlined, and global: so it is verified once. */
__attribute__((noinline)) int put(struct record *head)
{
    struct counters *shared = counters();
    int done;

    if (!head || !may_tell(shared, head->length))
        return 0;
    done = OUTPUT(0, head, sizeof(*head));
    was_told(shared, head, !done);
    return done;
}

static __always_inline void begin(struct record *head, struct connection *of, __u8 kind, int is_sent)
{
    __builtin_memset(head, 0, sizeof(*head));
    head->time = bpf_ktime_get_ns();
    head->version = RECORD_VERSION;
    head->kind = kind;
    /* Where both ends tell, neither knows the numbers of the other. */
    head->flags = of->told == TOLD_BOTH ? FLAG_ACK : 0;
    head->place = of->place | (is_sent ? PLACE_SENT : 0);
    head->space = of->space;
    __builtin_memcpy(is_sent ? head->from : head->to, of->local, 16);
    __builtin_memcpy(is_sent ? head->to : head->from, of->remote, 16);
    head->from_port = is_sent ? of->local_port : of->remote_port;
    head->to_port = is_sent ? of->remote_port : of->local_port;
}

static __always_inline void tell_begin(struct connection *of, __u8 kind, int by_peer)
{
    struct record head;

    /* The SYN of whoever opened it, then the answer, which acknowledges it. */
    begin(&head, of, kind, !by_peer);
    head.flags = FLAG_SYN;
    head.sequence = of->start;
    put(&head);
    begin(&head, of, kind, by_peer);
    head.flags = FLAG_SYN | FLAG_ACK;
    head.sequence = of->start;
    head.acknowledged = of->start + 1;
    put(&head);
}

/* Bytes of a call that are being told. */
struct telling {
    struct record head;
    struct memory from;
    struct policy policy;
    __u64 left;   /* not told yet */
    __u64 wanted; /* of these, to be captured */
};

/* Buffers that are put together in one record. */
#define MOST_GATHERED 16

/* Puts as many of the next bytes together as there is room for; says how many. */
static __always_inline __u32 gather(struct telling *of, struct masking *to, __u32 room)
{
    __u32 at = 0;

    for (int buffer = 0; buffer < MOST_GATHERED; buffer++) {
        __u64 now = of->wanted - at, last, place = at;

        if (!of->from.bytes) {
            struct iovec next;

            if (!of->from.vectors || !read_piece(&next, &of->from))
                break;
            of->from.at = next.at;
            of->from.bytes = next.bytes;
            of->from.vector += sizeof(next);
            of->from.vectors--;
        }
        if (now > of->from.bytes)
            now = of->from.bytes;
        if (now > room - at)
            now = room - at;
        if (!now) {
            if (at == room || at == of->wanted)
                break;
            continue;
        }
        /* As in network.bpf.c: older verifiers know no more of a number that is not 0. */
        last = now - 1;
        asm volatile("" : "+r"(last));
        asm volatile("" : "+r"(place));
        if (last >= LARGE || place >= LARGE)
            break;
        if (bpf_probe_read_user(to->bytes + place, last + 1, (void *)of->from.at) < 0) {
            /* What is left is told by its length. */
            count(COUNT_UNREADABLE, 1);
            of->wanted = at;
            break;
        }
        at += now;
        of->from.at += now;
        of->from.bytes -= now;
    }
    return at;
}

/* Tells the next piece; 0 where there is none. Global, as `put` is: what is verified of it is forgotten in between. */
__attribute__((noinline)) int tell_piece(struct telling *of)
{
    struct counters *shared = counters();
    struct masking *scratch;
    __u32 bytes;
    int done;

    if (!of || !of->wanted)
        return 0;
    scratch = masking_of(&of->head, of->policy.group);
    if (!scratch)
        return 0;
    bytes = gather(of, scratch, of->policy.mode == MODE_MASKED ? MIDDLE : LARGE);
    if (!bytes || bytes > LARGE) {
        give_back(scratch);
        return 0;
    }
    /* The scratch is somebody else's once it is put. */
    of->head.captured = bytes;
    of->head.length = bytes;
    scratch->head = of->head;
    if (!may_tell(shared, bytes)) {
        give_back(scratch);
    } else {
        done = of->policy.mode == MODE_MASKED ? put_mask(0, scratch, shared) : put_whole(0, scratch, bytes);
        was_told(shared, &of->head, !done);
    }
    of->head.sequence += bytes;
    of->left -= bytes;
    of->wanted -= bytes;
    return of->wanted != 0;
}

/* The group of this process that is so deep below the root. */
#define CALLER_GROUP(depth) bpf_get_current_ancestor_cgroup_id(depth)

/* Global, as `put` is. */
__attribute__((noinline)) int find_policy(struct policy *to)
{
    if (to)
        FIND_POLICY(to, CALLER_GROUP);
    return 0;
}

/* Tells so many bytes that a connection sent or received; 0 is the end of what it receives. */
static __always_inline void tell(struct connection *of, __u8 kind, int is_sent, struct memory *from, __u64 bytes)
{
    struct telling telling = { .from = *from, .left = bytes };
    struct record *head = &telling.head;
    __u32 most;

    if (of->told == TOLD_NOT || (of->told == TOLD_SENT && !is_sent))
        return;
    find_policy(&telling.policy);
    if (telling.policy.mode == MODE_NOTHING) {
        /* They leave a gap before what is told next. */
        __sync_fetch_and_add(is_sent ? &of->sent : &of->received, bytes);
        count(COUNT_WITHHELD, 1);
        return;
    }
    most = most_bytes(&telling.policy);
    telling.wanted = bytes < most ? bytes : most;
    if (of->begun) {
        int by_peer = of->begun == BEGUN_BY_PEER;

        of->begun = BEGUN_TOLD;
        tell_begin(of, kind, by_peer);
    }
    begin(head, of, kind, is_sent);
    head->sequence = of->start + 1 + (__u32)__sync_fetch_and_add(is_sent ? &of->sent : &of->received, bytes);
    head->acknowledged = of->start + 1 + (__u32)(is_sent ? of->received : of->sent);
    head->pid = bpf_get_current_pid_tgid() >> 32;
    for (int piece = 0; piece < MOST_PIECES; piece++)
        if (!tell_piece(&telling))
            break;
    if (telling.left || !bytes) {
        if (!bytes)
            head->flags |= FLAG_FIN;
        head->captured = 0;
        head->length = telling.left;
        put(head);
    }
}

/* ---- system calls ---- */

/* What a call moved; 0 where it is none of those that move bytes of a connection. */
static __always_inline int read_call(struct pt_regs *registers, struct memory *memory, __s32 *fd, int *is_sent)
{
    __s64 call = CALL_NUMBER(registers);
    __u64 second;

    switch (call) {
    case CALL_READ:
    case CALL_RECVFROM:
    case CALL_READV:
    case CALL_RECVMSG:
        *is_sent = 0;
        break;
    case CALL_WRITE:
    case CALL_SENDTO:
    case CALL_WRITEV:
    case CALL_SENDMSG:
    case CALL_SENDFILE:
        *is_sent = 1;
        break;
    default:
        return 0;
    }
    *fd = ARGUMENT_0(registers);
    second = ARGUMENT_1(registers);
    switch (call) {
    case CALL_RECVFROM:
        if (ARGUMENT_3(registers) & (MSG_PEEK | MSG_ERRQUEUE))
            return 0;
        /* fall through */
    case CALL_READ:
    case CALL_WRITE:
    case CALL_SENDTO:
        memory->at = second;
        memory->bytes = ARGUMENT_2(registers);
        break;
    case CALL_READV:
    case CALL_WRITEV:
        memory->vector = second;
        memory->vectors = ARGUMENT_2(registers);
        break;
    case CALL_RECVMSG:
        if (ARGUMENT_2(registers) & (MSG_PEEK | MSG_ERRQUEUE))
            return 0;
        /* fall through */
    case CALL_SENDMSG: {
        struct user_message message;

        if (bpf_probe_read_user(&message, sizeof(message), (void *)second) < 0)
            return 0;
        memory->vector = message.vector;
        memory->vectors = message.vectors;
        break;
    }
    }
    return 1;
}

SEC("tp_btf/sys_exit")
int call_returns(__u64 *context)
{
    struct memory memory = {};
    struct connection *connection;
    struct pt_regs *registers = (void *)context[0];
    struct sock *sock;
    __u64 inode = 0;
    __s64 result = context[1];
    int is_sent = 0;
    __s32 fd = -1;

    /* Of most calls their number says that they are none of these. */
    if ((!WANT_TLS && result < 0) || !read_call(registers, &memory, &fd, &is_sent) || !is_caller_wanted())
        return 0;
    if (WANT_TLS) {
        __u64 thread = bpf_get_current_pid_tgid();
        struct tls_call *within = bpf_map_lookup_elem(&TLS_CALLS, &thread);

        /* Cipher text: whose it is is worth knowing, what it says is told by the library. */
        if (within) {
            within->fd = fd;
            return 0;
        }
    }
    /* Nothing, or no end: a message of no bytes is none of a stream. */
    if (!WANT_CALLS || result < 0 || (result == 0 && is_sent))
        return 0;
    sock = socket_in_place(fd, &inode);
    connection = sock ? connection_with(sock, inode, KIND_CALL) : 0;
    if (connection)
        tell(connection, KIND_CALL, is_sent, &memory, result);
    return 0;
}

#include "functions.h"

/* ---- the beginning and the end of TCP connections ---- */

struct on_state {
    struct sock *sock;
    __u64 before;
    __u64 after;
};

static __always_inline void tell_over(struct key *key)
{
    struct connection *of = bpf_map_lookup_elem(&CONNECTIONS, key);
    struct record head;

    if (!of)
        return;
    /* Where nothing was told of it there is no end to tell either. */
    if (of->told == TOLD_BOTH && !of->begun) {
        begin(&head, of, key->kind, 1);
        head.flags |= FLAG_OVER;
        head.sequence = of->start + 1 + (__u32)of->sent;
        head.acknowledged = of->start + 1 + (__u32)of->received;
        put(&head);
    }
    bpf_map_delete_elem(&CONNECTIONS, key);
}

SEC("raw_tp/inet_sock_set_state")
int state_changes(struct on_state *context)
{
    struct key call = { .socket = (__u64)context->sock, .kind = KIND_CALL };
    struct key tls = { .socket = (__u64)context->sock, .kind = KIND_TLS };
    __u32 after = context->after;

    if (after == TCP_CLOSE) {
        if (WANT_PLAIN)
            tell_over(&call);
        if (WANT_TLS)
            tell_over(&tls);
    } else if (after == TCP_ESTABLISHED) {
        struct connection fresh = {};

        int by_peer = (__u32)context->before == TCP_SYN_RECV;

        if (!describe_tcp(context->sock, &fresh))
            return 0;
        if (fresh.told == TOLD_SENT)
            fresh.told = by_peer ? TOLD_BOTH : TOLD_NOT;
        fresh.start = bpf_get_prandom_u32();
        fresh.begun = by_peer ? BEGUN_BY_PEER : BEGUN_BY_US;
        if (WANT_PLAIN && !WANT_CALLS) {
            fresh.first_sent = tcp_number(context->sock, 1);
            fresh.first_received = tcp_number(context->sock, 0);
        }
        if (WANT_PLAIN)
            bpf_map_update_elem(&CONNECTIONS, &call, &fresh, BPF_ANY);
        if (WANT_TLS)
            bpf_map_update_elem(&CONNECTIONS, &tls, &fresh, BPF_ANY);
    }
    return 0;
}

/* ---- processes ---- */

SEC("raw_tp/sched_process_exit")
int process_exits(struct on_exit_process *context)
{
    struct task_struct *task = context->task;
    __u32 process = BPF_CORE_READ(task, tgid);

    if ((__u32)BPF_CORE_READ(task, pid) == process)
        bpf_map_delete_elem(&PIDS, &process);
    return 0;
}

/* ---- OpenSSL ---- */

static __always_inline int tls_begins(__u64 ssl, __u64 buffer, __u64 count)
{
    __u64 thread = bpf_get_current_pid_tgid();
    struct tls_call call = { .ssl = ssl, .buffer = buffer, .count = count, .fd = -1 };

    if (is_caller_wanted())
        bpf_map_update_elem(&TLS_CALLS, &thread, &call, BPF_ANY);
    return 0;
}

static __always_inline void tls_tell(struct tls_call *call, int is_sent, __s64 result)
{
    struct tls_key key = { .ssl = call->ssl, .pid = bpf_get_current_pid_tgid() >> 32 };
    struct memory memory = { .at = call->buffer };
    struct connection *connection;
    __s32 fd = call->fd, *known;
    __u64 bytes = result;

    if (fd >= 0) {
        bpf_map_update_elem(&TLS_FDS, &key, &fd, BPF_ANY);
    } else {
        known = bpf_map_lookup_elem(&TLS_FDS, &key);
        fd = known ? *known : -1;
    }
    if (result <= 0)
        return;
    if (call->count && bpf_probe_read_user(&bytes, sizeof(bytes), (void *)call->count) < 0)
        return;
    connection = fd >= 0 ? connection_of(fd, KIND_TLS) : 0;
    if (!connection) {
        if (fd < 0)
            count(COUNT_UNKNOWN, 1);
        return;
    }
    memory.bytes = bytes;
    if (bytes)
        tell(connection, KIND_TLS, is_sent, &memory, bytes);
}

static __always_inline int tls_ends(int is_sent, __s64 result)
{
    __u64 thread = bpf_get_current_pid_tgid();
    struct tls_call *call = bpf_map_lookup_elem(&TLS_CALLS, &thread);

    if (call) {
        struct tls_call copy = *call;

        bpf_map_delete_elem(&TLS_CALLS, &thread);
        tls_tell(&copy, is_sent, result);
    }
    return 0;
}

SEC("uprobe")
int tls_enters(REGISTERS *context)
{
    return tls_begins(PARAMETER_0(context), PARAMETER_1(context), 0);
}

SEC("uprobe")
int tls_enters_ex(REGISTERS *context)
{
    return tls_begins(PARAMETER_0(context), PARAMETER_1(context), PARAMETER_3(context));
}

SEC("uretprobe")
int tls_read_returns(REGISTERS *context)
{
    return tls_ends(0, (__s32)RETURNED(context));
}

SEC("uretprobe")
int tls_write_returns(REGISTERS *context)
{
    return tls_ends(1, (__s32)RETURNED(context));
}

/* A connection that is freed leaves its address to another. */
SEC("uprobe")
int tls_frees(REGISTERS *context)
{
    struct tls_key key = { .ssl = PARAMETER_0(context), .pid = bpf_get_current_pid_tgid() >> 32 };

    bpf_map_delete_elem(&TLS_FDS, &key);
    return 0;
}

#include "go.h"
