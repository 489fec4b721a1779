/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The fields of the kernel's structures that are looked at. Their places are found when a program is loaded (CO-RE), so
 * only names and types matter here.
 */
#ifndef OTLP_KERNEL_H
#define OTLP_KERNEL_H

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define SOCK_STREAM 1
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define TCP_ESTABLISHED 1
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000

#define KERNEL __attribute__((preserve_access_index))

struct in6_addr {
    __u8 bytes[16];
};

struct net {
    __u64 net_cookie;
} KERNEL;

typedef struct {
    struct net *net;
} KERNEL possible_net_t;

struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    possible_net_t skc_net;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
} KERNEL;

struct sock {
    struct sock_common __sk_common;
    struct socket *sk_socket;
} KERNEL;

struct socket {
    short type;
    struct sock *sk;
} KERNEL;

struct unix_sock {
    struct sock *peer;
} KERNEL;

struct inode {
    unsigned short i_mode;
    unsigned long i_ino;
} KERNEL;

struct socket_alloc {
    struct socket socket;
    struct inode vfs_inode;
} KERNEL;

struct file {
    struct inode *f_inode;
    void *private_data;
} KERNEL;

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
} KERNEL;

struct files_struct {
    struct fdtable *fdt;
} KERNEL;

struct task_struct {
    int pid;
    int tgid;
    unsigned int __state;
    struct files_struct *files;
} KERNEL;

/* Of <sys/socket.h>, as a process of 64 bits has it. */
struct user_message {
    __u64 name;
    __u64 name_length;
    __u64 vector;
    __u64 vectors;
};

/* Registers, and the numbers of system calls. What a call was given is read in place, as programs of the kind tp_btf may. */
#if defined(__TARGET_ARCH_x86)

struct pt_regs {
    unsigned long r14, bx, r8, r10, cx, dx, si, di, ax, orig_ax;
} KERNEL;

#define CALL_NUMBER(registers) ((__s64)(registers)->orig_ax)
#define ARGUMENT_0(registers) ((registers)->di)
#define ARGUMENT_1(registers) ((registers)->si)
#define ARGUMENT_2(registers) ((registers)->dx)
#define ARGUMENT_3(registers) ((registers)->r10)

#define REGISTERS struct pt_regs
#define PARAMETER_0(context) ((context)->di)
#define PARAMETER_1(context) ((context)->si)
#define PARAMETER_3(context) ((context)->cx)
#define PARAMETER_4(context) ((context)->r8)
#define RETURNED(context) ((context)->ax)

#define CALL_READ 0
#define CALL_WRITE 1
#define CALL_READV 19
#define CALL_WRITEV 20
#define CALL_SENDFILE 40
#define CALL_SENDTO 44
#define CALL_RECVFROM 45
#define CALL_SENDMSG 46
#define CALL_RECVMSG 47
#define CALL_EPOLL_WAIT 232
#define CALL_EPOLL_PWAIT 281
#define CALL_EPOLL_PWAIT2 441

#elif defined(__TARGET_ARCH_arm64)

struct user_pt_regs {
    __u64 regs[31];
} KERNEL;

struct pt_regs {
    __u64 regs[31];
    __u64 orig_x0;
    __s32 syscallno;
} KERNEL;

#define CALL_NUMBER(registers) ((__s64)(registers)->syscallno)
#define ARGUMENT_0(registers) ((registers)->orig_x0)
#define ARGUMENT_1(registers) ((registers)->regs[1])
#define ARGUMENT_2(registers) ((registers)->regs[2])
#define ARGUMENT_3(registers) ((registers)->regs[3])

#define REGISTERS struct user_pt_regs
#define PARAMETER_0(context) ((context)->regs[0])
#define PARAMETER_1(context) ((context)->regs[1])
#define PARAMETER_3(context) ((context)->regs[3])
#define PARAMETER_4(context) ((context)->regs[4])
#define RETURNED(context) ((context)->regs[0])

#define CALL_READ 63
#define CALL_WRITE 64
#define CALL_READV 65
#define CALL_WRITEV 66
#define CALL_SENDFILE 71
#define CALL_SENDTO 206
#define CALL_RECVFROM 207
#define CALL_SENDMSG 211
#define CALL_RECVMSG 212
#define CALL_EPOLL_PWAIT 22
#define CALL_EPOLL_PWAIT2 441

#else
#error "no such machine here yet"
#endif

#endif
