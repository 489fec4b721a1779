/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * From a file descriptor to its socket.
 */
#ifndef OTLP_SOCKET_H
#define OTLP_SOCKET_H

/* The socket of a file, if it is one of TCP or a stream of the Unix domain. */
static __always_inline struct sock *socket_within(struct file *file, __u64 *inode)
{
    struct inode *node;
    struct socket *socket;

    node = BPF_CORE_READ(file, f_inode);
    if (!node || (BPF_CORE_READ(node, i_mode) & S_IFMT) != S_IFSOCK)
        return 0;
    socket = BPF_CORE_READ(file, private_data);
    if (!socket || BPF_CORE_READ(socket, type) != SOCK_STREAM)
        return 0;
    *inode = BPF_CORE_READ(node, i_ino);
    return BPF_CORE_READ(socket, sk);
}

/* The socket behind a file descriptor of this process. */
static __always_inline struct sock *socket_of(__s32 fd, __u64 *inode)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct fdtable *table = BPF_CORE_READ(task, files, fdt);
    struct file **files, *file = 0;

    if (fd < 0 || !table || (__u32)fd >= BPF_CORE_READ(table, max_fds))
        return 0;
    files = BPF_CORE_READ(table, fd);
    if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) < 0 || !file)
        return 0;
    return socket_within(file, inode);
}

/* The same, for programs of the kind tp_btf: they read the table in place, which takes a fraction of a call. */
static __always_inline struct sock *socket_in_place(__s32 fd, __u64 *inode)
{
    struct task_struct *task = (void *)bpf_get_current_task_btf();
    struct files_struct *opened = task->files;
    struct fdtable *table;
    struct file *file = 0;

    if (!opened)
        return 0;
    table = opened->fdt;
    if (!table || fd < 0 || (__u32)fd >= table->max_fds)
        return 0;
    if (bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd) < 0 || !file)
        return 0;
    return socket_within(file, inode);
}

#endif
