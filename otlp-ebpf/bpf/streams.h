/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What may leave of HTTP/2, as frames.h has it of other protocols: heads of frames, settings, and of header fields (HPACK,
 * RFC 7541) all that says which they are. Values that are literals are as long as they were, of x; but for those whose name
 * is allowed, and the path up to a question mark. What refers to a table leaves as it is: the fixed table has no secret, and
 * what is in the other one came as a literal.
 *
 * A value whose name is in the table that grows is not known to be allowed. Fields that go on in another frame, and
 * paths with characters that need more than 13 bits, are left out with all that follows.
 */
#ifndef OTLP_STREAMS_H
#define OTLP_STREAMS_H

#define H2_HEAD 9
#define H2_PREFACE 24

enum h2 {
    H2_DATA,
    H2_HEADERS,
    H2_PRIORITY,
    H2_RESET,
    H2_SETTINGS,
    H2_PUSH,
    H2_PING,
    H2_AWAY,
    H2_WINDOW,
    H2_MORE,
};

#define H2_ENDS_HEADERS 4
#define H2_PADDED 8
#define H2_HAS_PRIORITY 32

/* Where in a field. */
enum field {
    FIELD_BEGIN,
    FIELD_INDEX,  /* more of a number in front of a value */
    FIELD_REST,   /* more of a number that is all */
    FIELD_NAMED,  /* before the length of a name */
    FIELD_NAME,
    FIELD_VALUED, /* before the length of a value */
    FIELD_LONG,   /* more of this length */
    FIELD_VALUE,
};

/* Whether the value of a name of the fixed table may leave: those of the first line, and what is allowed by its number. */
static __always_inline int is_fixed_allowed(struct masking *of, __u32 index)
{
    if (index == 4 || index == 5)
        return 2; /* the path */
    if (index >= 1 && index <= 14)
        return 1;
    return index <= 61 && is_allowed(of->group, index);
}

/* Whether so long a frame of this kind can be. */
static __always_inline int is_h2_frame(__u32 kind, __u32 length, __u32 stream)
{
    if (stream >> 31 || length > 16384)
        return 0;
    switch (kind) {
    case H2_DATA:
    case H2_HEADERS:
        return stream != 0;
    case H2_PRIORITY:
        return stream && length == 5;
    case H2_RESET:
        return stream && length == 4;
    case H2_SETTINGS:
        return !stream && length % 6 == 0;
    case H2_PING:
        return !stream && length == 8;
    case H2_AWAY:
        return !stream && length >= 8;
    case H2_WINDOW:
        return length == 4;
    case H2_PUSH:
    case H2_MORE:
        return stream != 0;
    default:
        return 0;
    }
}

/* How long the code of a character is whose bits come first of 13; 0 for those that are longer (RFC 7541, appendix B). */
static __always_inline __u32 code_bits(__u32 window)
{
    if (window < 0x0a << 8)
        return 5;
    if (window < 0x2e << 7)
        return 6;
    if (window < 0x7c << 6)
        return 7;
    if (window < 0xfe << 5)
        return 8;
    if (window < 0x3fd << 3)
        return 10;
    if (window < 0x7fd << 2)
        return 11;
    if (window < 0xffc << 1)
        return 12;
    return window < 0x1ffe ? 13 : 0;
}

#define QUESTION 0x3fc

/* Masks a byte of a path that is coded: as it is up to a question mark, then zeros, which are characters, and as many ones
 * at its end as these leave over, which are none. 0 where it cannot be done.
 */
static __always_inline int mask_coded(struct masking *of, __u8 *byte, __u32 left)
{
    if (of->mark == 1) {
        *byte = left ? 0 : (1 << of->ones) - 1;
        return 1;
    }
    of->window = of->window << 8 | *byte;
    of->bits += 8;
    for (int code = 0; code < 4; code++) {
        __u32 bits = of->bits, all = of->window, next, length;

        if (bits > 24 || bits < 5)
            break;
        /* What is not there yet is ones, as at the end of a string. */
        next = (all & ((1 << bits) - 1)) << (24 - bits) | ((1 << (24 - bits)) - 1);
        length = code_bits(next >> 11);
        if (!length && bits >= 13)
            return 0;
        if (!length || length > bits)
            break;
        of->bits = bits - length;
        if (length == 10 && next >> 14 == QUESTION) {
            __u32 ones = (of->bits + left * 8) % 5;

            of->mark = 1;
            of->ones = ones;
            *byte &= ~((1 << of->bits) - 1);
            if (!left)
                *byte |= (1 << ones) - 1;
            break;
        }
    }
    return 1;
}

/* Masks a byte of a header field; 0 where it cannot be done. */
static __always_inline int mask_field(struct masking *of, __u8 *byte)
{
    __u8 met = *byte;
    __u32 index;

    switch (of->stage) {
    case FIELD_BEGIN:
        of->allowed = 0;
        of->name = FNV_BEGIN;
        if (met & 0x80) {
            of->stage = (met & 0x7f) == 0x7f ? FIELD_REST : FIELD_BEGIN;
        } else if ((met & 0xe0) == 0x20) {
            of->stage = (met & 0x1f) == 0x1f ? FIELD_REST : FIELD_BEGIN;
        } else {
            __u32 most = met & 0x40 ? 0x3f : 0x0f;

            index = met & most;
            of->number = index;
            of->stage = index == most ? FIELD_INDEX : index ? FIELD_VALUED : FIELD_NAMED;
            if (of->stage == FIELD_VALUED)
                of->allowed = is_fixed_allowed(of, index);
        }
        break;
    case FIELD_INDEX:
        if (!(met & 0x80)) {
            index = of->number + met;
            of->stage = FIELD_VALUED;
            /* Of more bytes none is of the fixed table. */
            of->allowed = of->number < 0x40 ? is_fixed_allowed(of, index) : 0;
        } else {
            of->number = 0x40;
        }
        break;
    case FIELD_REST:
        if (!(met & 0x80))
            of->stage = FIELD_BEGIN;
        break;
    case FIELD_NAMED:
        of->left = met & 0x7f;
        if (of->left == 0x7f || !of->left)
            return 0;
        of->stage = FIELD_NAME;
        break;
    case FIELD_NAME:
        of->name = (of->name ^ met) * FNV_PRIME;
        if (!--of->left) {
            of->allowed = is_allowed(of->group, of->name);
            of->stage = FIELD_VALUED;
        }
        break;
    case FIELD_VALUED:
        of->is_coded = met >> 7;
        of->left = met & 0x7f;
        of->mark = 0;
        of->bits = 0;
        of->window = 0;
        if (!of->allowed)
            *byte = of->left;
        of->shift = 0;
        of->stage = of->left == 0x7f ? FIELD_LONG : of->left ? FIELD_VALUE : FIELD_BEGIN;
        break;
    case FIELD_LONG:
        if (of->shift > 14)
            return 0;
        of->left += (__u32)(met & 0x7f) << (of->shift & 15);
        of->shift += 7;
        if (!(met & 0x80))
            of->stage = FIELD_VALUE;
        break;
    default:
        of->left--;
        if (!of->allowed) {
            *byte = 'x';
        } else if (of->allowed == 2) {
            if (of->is_coded) {
                if (!mask_coded(of, byte, of->left))
                    return 0;
            } else if (of->mark) {
                *byte = 'x';
            } else if (met == '?') {
                of->mark = 1;
            }
        }
        if (!of->left)
            of->stage = FIELD_BEGIN;
    }
    return 1;
}

enum head {
    HEAD_INVALID,
    HEAD_TAKEN,
    HEAD_UNKNOWN, /* of a frame that cannot be masked */
};

/* Takes a byte of the head of a frame. */
static __always_inline enum head h2_head(struct masking *of, __u8 met)
{
    switch (of->index) {
    case 0:
    case 1:
    case 2:
        of->total = of->total << 8 | met;
        break;
    case 3:
        of->part = met;
        break;
    case 4:
        of->sequence = met;
        of->number = 0;
        break;
    default:
        of->number = of->number << 8 | met;
    }
    if (of->index != H2_HEAD - 1)
        return HEAD_TAKEN;
    if (!is_h2_frame(of->part, of->total, of->number))
        return HEAD_INVALID;
    of->total += H2_HEAD;
    of->behind = of->total;
    of->kept = H2_HEAD;
    switch (of->part) {
    case H2_HEADERS:
        if (!(of->sequence & H2_ENDS_HEADERS))
            return HEAD_UNKNOWN;
        of->kept += (of->sequence & H2_PADDED ? 1 : 0) + (of->sequence & H2_HAS_PRIORITY ? 5 : 0);
        break;
    case H2_PUSH:
    case H2_MORE:
        return HEAD_UNKNOWN;
    case H2_AWAY:
        of->kept += 8;
        break;
    case H2_PRIORITY:
    case H2_RESET:
    case H2_SETTINGS:
    case H2_WINDOW:
        of->kept = of->total;
    }
    of->stage = FIELD_BEGIN;
    return HEAD_TAKEN;
}

static long http2_step(__u32 at, struct walk *walk)
{
    struct masking *of = walk->of;
    __u8 met;

    if (!of || at >= MIDDLE)
        return 1;
    if (at < of->begin)
        return 0;
    met = of->bytes[at];
    if (of->index < H2_HEAD) {
        enum head head = h2_head(of, met);

        if (head != HEAD_TAKEN)
            /* What came before it may leave. */
            return stop(of, head == HEAD_UNKNOWN ? ENDS : INVALID);
    } else if (of->index >= of->kept && of->index < of->behind) {
        if (of->part != H2_HEADERS)
            of->bytes[at] = 'x';
        else if (!mask_field(of, &of->bytes[at]))
            return stop(of, ENDS);
    } else if (of->index >= of->kept) {
        of->bytes[at] = 0;
    } else if (of->part == H2_HEADERS && of->index == H2_HEAD && of->sequence & H2_PADDED) {
        if (of->total < of->kept + met)
            return stop(of, ENDS);
        of->behind = of->total - met;
    }
    of->index++;
    if (of->index >= H2_HEAD && of->index == of->total) {
        if (of->part == H2_HEADERS && of->stage != FIELD_BEGIN)
            return stop(of, ENDS);
        next_frame(of, at + 1);
    }
    return 0;
}

__attribute__((noinline)) int mask_http2(struct masking *of)
{
    __u32 bytes, at, begin = 0;

    if (!of || !FRAMES)
        return 0;
    bytes = of->head.captured;
    if (word_at(of, 0) == 0x50524920 /* "PRI " */) {
        if (bytes < H2_PREFACE || word_at(of, 4) != 0x2a204854 || word_at(of, 14) != 0x0d0a0d0a
            || word_at(of, 18) != 0x534d0d0a)
            return 0;
        begin = H2_PREFACE;
    } else {
        __u32 length = word_at(of, 0) >> 8, behind = length + H2_HEAD;

        /* As of PostgreSQL: behind it is another frame, if anything. */
        if (bytes < H2_HEAD || !is_h2_frame(byte_at(of, 3), length, word_at(of, 5)))
            return 0;
        if (behind + H2_HEAD <= MIDDLE && behind + H2_HEAD <= bytes
            && !is_h2_frame(byte_at(of, behind + 3), word_at(of, behind) >> 8, word_at(of, behind + 5)))
            return 0;
    }
    of->begin = begin;
    next_frame(of, begin);
    switch (follow(of, http2_step)) {
    case INVALID:
        return 0;
    case ENDS:
        return of->line;
    default:
        at = bytes < MIDDLE ? bytes : MIDDLE;
    }
    /* Of headers that are cut nothing leaves: the rest would not be understood. */
    return of->index && (of->index < H2_HEAD || of->part == H2_HEADERS) ? of->line : at;
}

/* ---- chunks of HTTP/1 (RFC 9112, 7.1) ---- */

enum chunk {
    CHUNK_SIZE,
    CHUNK_LINE, /* behind the CR of a size */
    CHUNK_DATA,
    CHUNK_END,  /* a CR behind data */
    CHUNK_OVER, /* a LF behind it */
    CHUNK_LAST, /* behind the last size: a CR */
    CHUNK_GONE, /* and a LF */
    CHUNK_DONE,
};

static long chunks_step(__u32 at, struct walk *walk)
{
    struct masking *of = walk->of;
    __u8 met;

    if (!of || at >= MIDDLE)
        return 1;
    if (at < of->begin)
        return 0;
    met = of->bytes[at];
    switch (of->stage) {
    case CHUNK_SIZE:
        if (met == '\r' && of->index) {
            of->stage = CHUNK_LINE;
        } else {
            __u32 digit = met >= '0' && met <= '9' ? met - '0'
                : (met | 0x20) >= 'a' && (met | 0x20) <= 'f' ? (met | 0x20) - 'a' + 10
                                                             : 16;

            if (digit > 15 || of->index++ >= 6)
                return stop(of, INVALID);
            of->number = of->number << 4 | digit;
        }
        break;
    case CHUNK_LINE:
        if (met != '\n')
            return stop(of, INVALID);
        of->stage = of->number ? CHUNK_DATA : CHUNK_LAST;
        break;
    case CHUNK_DATA:
        of->bytes[at] = 'x';
        if (!--of->number)
            of->stage = CHUNK_END;
        break;
    case CHUNK_END:
        if (met != '\r')
            return stop(of, INVALID);
        of->stage = CHUNK_OVER;
        break;
    case CHUNK_OVER:
        if (met != '\n')
            return stop(of, INVALID);
        of->stage = CHUNK_SIZE;
        of->index = 0;
        of->line = at + 1;
        break;
    case CHUNK_LAST:
        if (met != '\r')
            return stop(of, INVALID);
        of->stage = CHUNK_GONE;
        break;
    case CHUNK_GONE:
        if (met != '\n')
            return stop(of, INVALID);
        of->stage = CHUNK_DONE;
        break;
    default:
        return stop(of, INVALID);
    }
    return 0;
}

/* Masks chunks from here on: says where they end, or where what was captured of them does; 0 where there are none. */
__attribute__((noinline)) int mask_chunks(struct masking *of, __u32 from)
{
    __u32 bytes, at, stage = CHUNK_SIZE;

    if (!of || !FRAMES)
        return 0;
    bytes = of->head.captured;
    of->begin = from;
    next_frame(of, from);
    of->number = 0;
    /* The end of the data before it. */
    if (!from && byte_at(of, 0) == '\r')
        stage = CHUNK_END;
    of->stage = stage;
    switch (follow(of, chunks_step)) {
    case INVALID:
        return 0;
    case ENDS:
        return of->line;
    default:
        at = bytes < MIDDLE ? bytes : MIDDLE;
    }
    switch (of->stage) {
    case CHUNK_DATA:
        return at;
    case CHUNK_DONE:
        return at;
    case CHUNK_SIZE:
        return of->index ? of->line : at;
    default:
        return bytes == of->head.length ? 0 : of->line;
    }
}

#endif
