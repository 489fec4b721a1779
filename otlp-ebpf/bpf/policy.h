/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What may leave: one policy for all, or, for control groups that were named and those below them, one of their own. Those
 * are changed while programs run: a policy is a map of its own, put in the place of the one before as a whole.
 */
#ifndef OTLP_POLICY_H
#define OTLP_POLICY_H

/* Set by whoever loads it, beside MOST_BYTES and MASKED: where no group has a policy of its own. */
const volatile __u32 WITHHELD = 0; /* nothing is told */
const volatile __u32 BY_GROUP = 0; /* groups may have policies of their own */

enum mode {
    MODE_WHOLE,   /* the first bytes, so many */
    MODE_MASKED,  /* heads, their values blanked */
    MODE_NOTHING, /* no record */
};

/* Of one group: under 0 its mode and how many bytes, else 1 under each header that is allowed, as in ALLOWED. */
struct group_policy {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1025);
    __type(key, __u64);
    __type(value, __u64);
};

/* By the number of the group. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, __u32);
    __array(values, struct group_policy);
} POLICIES SEC(".maps");

/* One bit a depth, below the root of all groups: there is a group with a policy at it. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} POLICY_LEVELS SEC(".maps");

#define MOST_LEVELS 16

struct policy {
    __u64 group; /* whose it is; 0: that of all */
    __u32 bytes;
    __u32 mode;
};

/* Names of headers whose values may leave, where a group has no policy of its own: FNV-1a of 64 bits, in lower case; also of
 * the names as HTTP/2 codes them, and their numbers in its fixed table. The key is on the stack: before Linux 6.2 it may not
 * be in memory that a function was given.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, __u8);
} ALLOWED SEC(".maps");

static __always_inline int is_allowed(__u64 group, __u64 name)
{
    void *own;

    if (!BY_GROUP || !group)
        return bpf_map_lookup_elem(&ALLOWED, &name) != 0;
    own = bpf_map_lookup_elem(&POLICIES, &group);
    return own && bpf_map_lookup_elem(own, &name) != 0;
}

/* The policy of a group, if it has one of its own. Global, so that it is verified once. */
__attribute__((noinline)) int policy_of(__u64 group, struct policy *to)
{
    __u64 head = 0, *set;
    void *own;

    if (!group || !to)
        return 0;
    own = bpf_map_lookup_elem(&POLICIES, &group);
    set = own ? bpf_map_lookup_elem(own, &head) : 0;
    if (!set)
        return 0;
    to->group = group;
    to->bytes = (__u32)*set;
    to->mode = *set >> 32;
    return 1;
}

/* Sets the policy of whatever is seen, by `ancestor(depth)`: the number of the group that it is in at this depth. The
 * deepest group that has one decides. Not a loop, which would be verified as if it might be gone through by mistake where the
 * loader has not CAP_PERFMON; and nothing is learnt of the depths on the way, or each set of them would be looked at.
 */
#define FIND_POLICY(to, ancestor)                                                                                       \
    ({                                                                                                                  \
        struct policy *_to = (to);                                                                                      \
        __u32 _zero = 0, *_levels = BY_GROUP ? bpf_map_lookup_elem(&POLICY_LEVELS, &_zero) : 0;                         \
        __u32 _set = _levels ? *_levels : 0;                                                                            \
                                                                                                                        \
        _to->group = 0;                                                                                                 \
        _to->bytes = MOST_BYTES;                                                                                        \
        _to->mode = WITHHELD ? MODE_NOTHING : MASKED ? MODE_MASKED : MODE_WHOLE;                                        \
        if (_set)                                                                                                       \
            _Pragma("clang loop unroll(full)") for (int _depth = MOST_LEVELS - 1; _depth >= 0; _depth--)             \
                if (_set >> _depth & 1 && policy_of(ancestor(_depth), _to))                                             \
                    break;                                                                                              \
    })

#endif
