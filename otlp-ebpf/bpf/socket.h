/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * From a file descriptor to its socket.
 */
#ifndef OTLP_SOCKET_H
#define OTLP_SOCKET_H

/* The socket behind a file descriptor of this process, if it is one of TCP or a stream of the Unix domain. */
static __always_inline struct sock *socket_of(__s32 fd, __u64 *inode)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct fdtable *table = BPF_CORE_READ(task, files, fdt);
    struct file **files, *file = 0;
    struct inode *node;
    struct socket *socket;

    if (fd < 0 || !table || (__u32)fd >= BPF_CORE_READ(table, max_fds))
        return 0;
    files = BPF_CORE_READ(table, fd);
    if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) < 0 || !file)
        return 0;
    node = BPF_CORE_READ(file, f_inode);
    if (!node || (BPF_CORE_READ(node, i_mode) & S_IFMT) != S_IFSOCK)
        return 0;
    socket = BPF_CORE_READ(file, private_data);
    if (!socket || BPF_CORE_READ(socket, type) != SOCK_STREAM)
        return 0;
    *inode = BPF_CORE_READ(node, i_ino);
    return BPF_CORE_READ(socket, sk);
}

#endif
