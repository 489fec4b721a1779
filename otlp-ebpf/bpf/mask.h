/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What may leave where values may not: the head of an HTTP/1 message, byte for byte as long as it was, with an x for
 * each byte of what is not allowed. It is made in memory of the kernel that no process sees, and then put into the ring.
 *
 * Of a request line the method, the path up to a question mark and the version stay; of a status line the version and
 * the code; of a header its name, and its value where the name is in ALLOWED. Behind the empty line nothing is taken.
 * Whatever does not begin like such a head, or does not go on like one, leaves nothing but its length: the rest of a head
 * that is cut, bodies, other protocols.
 */
#ifndef OTLP_MASK_H
#define OTLP_MASK_H

#include "record.h"

enum part {
    PART_METHOD,  /* of a request */
    PART_PATH,
    PART_QUERY,
    PART_REST,    /* the version behind it */
    PART_VERSION, /* of a response */
    PART_CODE,
    PART_REASON,
    PART_NAME,
    PART_VALUE,
    PART_BEHIND,  /* a CR that ends the head: its LF is missing */
    PART_OVER,    /* the empty line was met */
    PART_NONE,    /* not a head */
};

/* Room for bytes; whoever includes this may have set another size. */
#ifndef SCRATCH_BYTES
#define SCRATCH_BYTES MIDDLE
#endif

struct masking {
    struct record head;
    __u8 bytes[SCRATCH_BYTES];
    /* From here on it stays in the kernel. */
    __u32 is_taken;
    __u32 part;
    __u32 line;    /* where this one began */
    __u32 allowed; /* the value of this header */
    __u32 mark;    /* where the version of the request line began */
    __u64 group;   /* whose policy it is under; 0: that of all */
    __u64 name;    /* hash of the bytes of the name so far */
    /* Of frames (frames.h, streams.h) and chunks; kernels without a ring cannot follow them. */
    __u32 index;    /* within the frame */
    __u32 total;    /* bytes of the frame */
    __u32 kept;     /* of these, the first that may leave */
    __u32 behind;   /* where what is masked of it ends */
    __u32 stage;
    __u32 number;
    __u32 sequence;
    __u32 fill;     /* what stands for what may not leave */
    __u32 left;     /* of a string */
    __u32 shift;    /* of the next bits of its length */
    __u32 is_coded;
    __u32 window;   /* the last bits of a code */
    __u32 bits;     /* how many of them are of the next character */
    __u32 ones;     /* what no character is made of, at the end */
    __u32 chunked;  /* a header says so */
    __u32 begin;    /* of frames */
    __u32 outcome;  /* of following them */
};

/* Several may be at work on one processor, each interrupted by the next. */
#define MASKINGS 4

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, MASKINGS);
    __type(key, __u32);
    __type(value, struct masking);
} MASKINGS_OF SEC(".maps");

#define FNV_BEGIN 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

static __always_inline void give_back(struct masking *masking)
{
    __sync_fetch_and_add(&masking->is_taken, -1);
}

/* One that nobody else uses, with this head; 0 where all are in use. Whoever comes adds one to it, and has it where that is
 * the only one: kernels before Linux 5.12 know no other atomic operation than to add.
 */
static __always_inline struct masking *masking_of(const struct record *head, __u64 group)
{
    for (__u32 at = 0; at < MASKINGS; at++) {
        __u32 key = at;
        struct masking *masking = bpf_map_lookup_elem(&MASKINGS_OF, &key);

        if (!masking)
            continue;
        __sync_fetch_and_add(&masking->is_taken, 1);
        if (*(volatile __u32 *)&masking->is_taken == 1) {
            masking->head = *head;
            masking->group = group;
            return masking;
        }
        give_back(masking);
    }
    return 0;
}

/* FNV-1a of "transfer-encoding". */
#define TRANSFER_ENCODING 0x8640bd735e9d802cULL

#ifndef PER_CPU
#include "frames.h"
#include "streams.h"
#endif

/* Whether the line that ends before `at` ends like a request line: in the version, in a place of its own. */
static __always_inline int is_version(const struct masking *of, __u32 at)
{
    __u32 mark = of->mark;
    const __u8 *text;

    if (mark >= MIDDLE - 10 || at != mark + 8)
        return 0;
    text = of->bytes + mark;
    return text[0] == 'H' && text[1] == 'T' && text[2] == 'T' && text[3] == 'P' && text[4] == '/' && text[5] == '1'
        && text[6] == '.' && (text[7] == '0' || text[7] == '1');
}

/* Masks one byte, by the part that it is of. */
static __always_inline void mask_byte(struct masking *of, __u32 at, __u8 *byte)
{
    __u8 met = *byte;
    __u32 part = of->part;

    if (met == '\n') {
        if (part == PART_REST && !is_version(of, at - (of->allowed & 1)))
            of->part = PART_NONE;
        else if (part == PART_BEHIND || (part == PART_NAME && at == of->line))
            of->part = PART_OVER;
        else if (part < PART_REST || part == PART_VERSION || part == PART_NAME)
            of->part = PART_NONE;
        else
            of->part = PART_NAME;
        of->line = at + 1;
        of->name = FNV_BEGIN;
        return;
    }
    switch (part) {
    case PART_METHOD:
        if (met == ' ')
            of->part = PART_PATH;
        else if (met < 'A' || met > 'Z')
            of->part = PART_NONE;
        of->mark = at + 1;
        break;
    case PART_PATH:
        if (at == of->mark && met != '/' && met != '*') {
            /* An address in front of the path may have a password. */
            of->part = PART_QUERY;
            *byte = 'x';
        } else if (met == '?') {
            of->part = PART_QUERY;
        } else if (met == ' ') {
            of->part = PART_REST;
            of->mark = at + 1;
            of->allowed = 0;
        }
        break;
    case PART_QUERY:
        if (met == ' ') {
            of->part = PART_REST;
            of->mark = at + 1;
            of->allowed = 0;
        } else {
            *byte = 'x';
        }
        break;
    case PART_REST:
        /* At most the version and a CR. */
        if (at > of->mark + 8)
            of->part = PART_NONE;
        of->allowed = met == '\r';
        break;
    case PART_VERSION:
        if (met == ' ') {
            of->part = PART_CODE;
            of->mark = at + 1;
        } else if (at > 8) {
            of->part = PART_NONE;
        }
        break;
    case PART_CODE:
        if (met == ' ' && at == of->mark + 3)
            of->part = PART_REASON;
        else if ((met < '0' || met > '9' || at >= of->mark + 3) && met != '\r')
            of->part = PART_NONE;
        break;
    case PART_NAME:
        if (at == of->line && met == '\r') {
            of->part = PART_BEHIND;
        } else if (at == of->line && (met == ' ' || met == '\t')) {
            /* A line that goes on with the value before it. */
            of->part = PART_VALUE;
            of->allowed = 0;
        } else if (met == ':') {
            __u64 name = of->name;

            of->part = PART_VALUE;
            of->allowed = is_allowed(of->group, name);
            if (name == TRANSFER_ENCODING)
                of->chunked = 1;
        } else if (met <= ' ' || met > '~') {
            of->part = PART_NONE;
        } else {
            of->name = (of->name ^ (met >= 'A' && met <= 'Z' ? met | 0x20 : met)) * FNV_PRIME;
        }
        break;
    case PART_REASON:
        if (met != '\r')
            *byte = 'x';
        break;
    case PART_VALUE:
        if (!of->allowed && met != '\r')
            *byte = 'x';
        break;
    default:
        of->part = PART_NONE;
    }
}

/* Masks a head of HTTP/1, and says how much of it may leave. Global, as all that masks, so that it is verified once. */
__attribute__((noinline)) int mask_http1(struct masking *of)
{
    __u32 bytes, at;

    /* Known when it is loaded: where nothing is masked there is nothing to verify either. */
    if (!of || (!MASKED && !BY_GROUP))
        return 0;
    bytes = of->head.captured;
    if (bytes < 16)
        return 0;
    of->line = 0;
    of->mark = 0;
    of->allowed = 0;
    of->chunked = 0;
    of->name = FNV_BEGIN;
    of->part = of->bytes[0] == 'H' && of->bytes[1] == 'T' && of->bytes[2] == 'T' && of->bytes[3] == 'P'
            && of->bytes[4] == '/' && of->bytes[5] == '1'
        ? PART_VERSION
        : PART_METHOD;
    for (at = 0; at < MIDDLE; at++) {
        if (at >= bytes || of->part >= PART_OVER)
            break;
        mask_byte(of, at, &of->bytes[at]);
    }
    switch (of->part) {
    case PART_OVER:
        return at;
    case PART_VALUE:
        /* Cut, within a head: so far all of it may leave. */
        return at;
    case PART_NAME:
    case PART_BEHIND:
        /* A name that is cut may be none. */
        return of->line;
    default:
        return 0;
    }
}

/* Masks what was captured, and says how much of it may leave: of the first protocol that it is of. */
__attribute__((noinline)) int mask(struct masking *of)
{
    int leaves;

    if (!of || (!MASKED && !BY_GROUP))
        return 0;
    leaves = mask_http1(of);
#ifndef PER_CPU
    if (leaves > 0) {
        int more = of->part == PART_OVER && of->chunked ? mask_chunks(of, leaves) : 0;

        return more > leaves ? more : leaves;
    }
    leaves = mask_kafka(of);
    if (!leaves)
        leaves = mask_redis(of);
    if (!leaves)
        leaves = mask_postgres(of);
    if (!leaves)
        leaves = mask_mysql(of);
    if (!leaves)
        leaves = mask_http2(of);
    if (!leaves)
        leaves = mask_chunks(of, 0);
#endif
    return leaves;
}

/* Puts so many of the bytes into the ring, and gives the memory back. */
static __always_inline int put_whole(void *context, struct masking *masking, __u32 bytes)
{
    __u64 size = bytes;
    int done;

    /* Asked where it is used, for a compiler that keeps it in two registers loses what a verifier has learnt of one. */
    asm volatile("" : "+r"(size));
    if (size > sizeof(masking->bytes))
        size = 0;
    done = OUTPUT(context, masking, sizeof(masking->head) + size);
    give_back(masking);
    return done;
}

/* Puts what may leave into the ring, and gives the memory back. */
static __always_inline int put_mask(void *context, struct masking *masking, struct counters *counters)
{
    __u32 whole = masking->head.captured;
    __u32 bytes = whole ? mask(masking) : 0;

    if (bytes > MIDDLE)
        bytes = 0;
    if (whole && !bytes)
        add(counters, COUNT_MASKED, 1);
    masking->head.captured = bytes;
    return put_whole(context, masking, bytes);
}

#endif
