/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What may leave of protocols that are made of frames, where values may not: each byte that says where a message ends and
 * what kind of one it is, with something in place of every other one. Like heads of HTTP/1 (mask.h), a frame is looked for
 * at the beginning of a segment or call, and followed as far as was captured.
 *
 * What is met must be valid to the last byte of it; else nothing leaves, as of anything that is not known here. So a body
 * that begins a segment is not taken for a frame unless it is made of whole ones, and even then what leaves of it are
 * lengths and kinds.
 *
 * One function for each protocol, so that each is verified by itself. What they know lies in the memory of the mask, where
 * a verifier does not follow it.
 */
#ifndef OTLP_FRAMES_H
#define OTLP_FRAMES_H

/* Set by whoever loads it, where what is masked is more than HTTP/1: takes bpf_loop (Linux 5.17). */
const volatile __u32 FRAMES = 0;

static __always_inline __u32 byte_at(const struct masking *of, __u64 at)
{
    /* Asked where it is used, as in `put_whole`. */
    asm volatile("" : "+r"(at));
    return at < MIDDLE ? of->bytes[at] : 0;
}

static __always_inline __u32 word_at(const struct masking *of, __u32 at)
{
    return byte_at(of, at) << 24 | byte_at(of, at + 1) << 16 | byte_at(of, at + 2) << 8 | byte_at(of, at + 3);
}

/* How following frames went. Bytes are followed by bpf_loop, whose callback a verifier looks at but once; what a callback
 * knows is in the memory of the mask.
 */
enum outcome {
    GOES_ON,
    INVALID,
    ENDS, /* before the frame at `line` */
};

struct walk {
    struct masking *of;
};

typedef long (*step)(__u32 at, struct walk *walk);

/* Begins the next frame. */
static __always_inline void next_frame(struct masking *of, __u32 at)
{
    of->line = at;
    of->index = 0;
    of->total = 0;
    of->kept = 0;
    of->stage = 0;
}

/* Takes every byte that was captured; says what came of it. */
static __always_inline __u32 follow(struct masking *of, step step)
{
    struct walk walk = { .of = of };
    __u32 bytes = of->head.captured;

    of->outcome = GOES_ON;
    bpf_loop(bytes < MIDDLE ? bytes : MIDDLE, step, &walk, 0);
    return of->outcome;
}

static __always_inline long stop(struct masking *of, enum outcome outcome)
{
    of->outcome = outcome;
    return 1;
}

/* How much may leave where the bytes ended within a frame: a head that is cut is left out. */
static __always_inline int whole_frames(const struct masking *of, __u32 at, __u32 head)
{
    return of->index >= head || !of->index ? at : of->line;
}

/* ---- PostgreSQL: a letter, a length, and what comes with it ---- */

static __always_inline int is_postgres(__u32 kind)
{
    switch (kind) {
    case '1': case '2': case '3': case 'A': case 'B': case 'C': case 'D': case 'E': case 'F': case 'G': case 'H':
    case 'I': case 'K': case 'N': case 'P': case 'Q': case 'R': case 'S': case 'T': case 'V': case 'W': case 'X':
    case 'Z': case 'c': case 'd': case 'f': case 'n': case 'p': case 's': case 't': case 'v':
        return 1;
    default:
        return 0;
    }
}

/* Of an error its severity and code may leave: letters and digits, up to the first field that is another. */
static __always_inline int is_of_error(struct masking *of, __u8 met)
{
    if (of->stage == 0) {
        of->stage = met == 'S' || met == 'V' || met == 'C' ? 1 : 2;
        return of->stage == 1;
    }
    if (of->stage != 1)
        return 0;
    if (!met) {
        of->stage = 0;
        return 1;
    }
    if ((met >= 'A' && met <= 'Z') || (met >= '0' && met <= '9'))
        return of->index < 64;
    of->stage = 2;
    return 0;
}

static long postgres_step(__u32 at, struct walk *walk)
{
    struct masking *of = walk->of;
    __u8 met;

    if (!of || at >= MIDDLE)
        return 1;
    met = of->bytes[at];
    if (of->total && of->index >= of->kept) {
        if (of->part != 'E' || !is_of_error(of, met))
            of->bytes[at] = 0;
    } else if (!of->total) {
        if (!of->index) {
            of->part = met;
            of->number = 0;
            if (!is_postgres(met))
                return stop(of, INVALID);
        } else {
            of->number = of->number << 8 | met;
        }
        if (of->index == 4) {
            if (of->number < 4 || of->number >= 1 << 24)
                return stop(of, INVALID);
            of->total = of->number + 1;
            of->kept = of->part == 'Z' ? 6 : of->part == 'R' ? 9 : 5;
        }
    }
    of->index++;
    if (of->total && of->index == of->total)
        next_frame(of, at + 1);
    return 0;
}

__attribute__((noinline)) int mask_postgres(struct masking *of)
{
    __u32 bytes, at, first;

    if (!of || !FRAMES)
        return 0;
    bytes = of->head.captured;
    first = word_at(of, 0);
    next_frame(of, 0);
    if (bytes == 1)
        /* What answers whether it will be encrypted. */
        return of->bytes[0] == 'N' || of->bytes[0] == 'S';
    if (first == of->head.length && first >= 8 && first <= 10000) {
        __u32 code = word_at(of, 4);

        /* Version 3.0, and what stands in its place. */
        if (code != 0x30000 && (code < 80877102 || code > 80877104))
            return 0;
        of->kept = 8;
        of->total = first;
        of->part = 'p';
    } else {
        /* It ends where all does, or where another one begins. Asked before anything is altered, for it may yet be of
         * another protocol.
         */
        __u32 behind = (first << 8 | byte_at(of, 4)) + 1;

        if (!is_postgres(first >> 24) || (first >> 16 & 0xff) || behind < 5)
            return 0;
        if (behind < of->head.length && behind + 1 < MIDDLE
            && (!is_postgres(byte_at(of, behind)) || byte_at(of, behind + 1)))
            return 0;
    }
    switch (follow(of, postgres_step)) {
    case INVALID:
        return 0;
    case ENDS:
        return of->line;
    default:
        at = bytes < MIDDLE ? bytes : MIDDLE;
    }
    if (bytes == of->head.length && of->index && of->index < 5)
        return 0;
    return whole_frames(of, at, 5);
}

/* ---- MySQL: a length, a number, and what comes with it ---- */

enum talk {
    TALK_CLIENT,   /* commands */
    TALK_GREETING, /* of the server */
    TALK_LOGIN,
    TALK_SERVER,
};

/* Whose bytes these are, by their first packet; -1 where they are nobody's. */
static __always_inline int mysql_talk(const struct masking *of, __u32 length)
{
    __u32 number = byte_at(of, 3), kind = byte_at(of, 4), whole = of->head.length;
    __u32 zeros = 0;

    if (!length || length + 4 > whole)
        return -1;
    /* Where there is another one behind it, its number says so. */
    if (length + 4 < whole && length + 8 <= MIDDLE && byte_at(of, length + 7) != (number ? number + 1 : 0))
        return -1;
    if (!number) {
        if (kind == 10 && length > 40 && length + 4 == whole)
            return TALK_GREETING;
        return kind <= 0x1f || kind == 0xfa ? TALK_CLIENT : -1;
    }
    if (number > 8)
        return -1;
    /* Flags, the largest packet, a character set, and zeros. */
    for (__u32 at = 13; at < 32; at++)
        zeros |= byte_at(of, at);
    if (number < 3 && length >= 32 && length + 4 == whole && (byte_at(of, 5) & 2) && !zeros)
        return TALK_LOGIN;
    return TALK_SERVER;
}

/* Bytes of a number, by the first of them. */
static __always_inline __u32 mysql_number(__u32 first)
{
    return first < 0xfb ? 1 : first == 0xfc ? 3 : first == 0xfd ? 4 : first == 0xfe ? 9 : 1;
}

/* How much of a packet of the server may leave. What may yet be a row looks like nothing else, for text has no zeros. */
static __always_inline __u32 mysql_kept(const struct masking *of, __u32 at, __u8 kind)
{
    __u32 behind;

    if (kind == 0xff)
        return 13; /* the number and the state of an error */
    if (kind == 0xfe && of->total == 9)
        return 9; /* the end of rows: flags */
    if (of->sequence == 1 && kind && kind < 0xfd && of->total <= 8)
        return kind == 0xfb ? 5 : of->total; /* how many columns */
    /* Of a prepared statement its number, how many columns and parameters. */
    if (!kind && of->sequence == 1 && of->total == 16 && !byte_at(of, at + 9))
        return 16;
    if (kind && kind != 0xfe)
        return kind == 0xfb ? 5 : 4;
    if (!kind && of->sequence != 1)
        return 5;
    /* Two numbers, flags, and how many warnings. */
    behind = at + 1;
    behind += mysql_number(byte_at(of, behind));
    behind += mysql_number(byte_at(of, behind));
    return byte_at(of, behind + 3) ? 5 : behind + 4 - of->line;
}

/* How much of a packet may leave, its head of four bytes counted, by its first byte; and what stands for the rest. */
static __always_inline void mysql_begins(struct masking *of, __u32 at, __u8 kind)
{
    of->stage = 0;
    of->fill = 0;
    switch (of->part) {
    case TALK_CLIENT:
        /* No statement begins so, and no name has such a byte. */
        of->fill = kind == 0x03 || kind == 0x16 ? 1 : 0xff;
        /* The number of a prepared statement. */
        of->kept = (kind >= 0x17 && kind <= 0x1a) || kind == 0x1c || kind == 0xfa ? 9 : 5;
        break;
    case TALK_GREETING:
        of->kept = of->total;
        of->stage = 1;
        break;
    case TALK_LOGIN:
        of->kept = 36;
        of->fill = 0xff;
        break;
    default:
        of->kept = mysql_kept(of, at, kind);
    }
}

/* Whether this byte of a packet may leave. */
static __always_inline int mysql_leaves(struct masking *of, __u8 met)
{
    if (of->stage == 1 && of->index > 4) {
        /* A version up to a zero; the connection's number; of the challenge nothing; a zero and flags. */
        if (met && of->index < 68)
            return 1;
        of->stage = 2;
        of->number = of->index;
        return !met;
    }
    if (of->stage == 2) {
        __u32 behind = of->index - of->number;

        return behind <= 4 || (behind > 12 && behind <= 20);
    }
    return of->index < of->kept;
}

static long mysql_step(__u32 at, struct walk *walk)
{
    struct masking *of = walk->of;
    __u8 met;

    if (!of || at >= MIDDLE)
        return 1;
    met = of->bytes[at];
    if (of->index < 3) {
        of->total |= (__u32)met << (of->index * 8);
    } else if (of->index == 3) {
        /* Numbers follow on one another; commands are all the first. */
        if (met != (__u8)of->sequence)
            return stop(of, INVALID);
        of->total += 4;
        if (of->total > 4 + (1 << 24) - 1)
            return stop(of, INVALID);
    } else {
        if (of->index == 4)
            mysql_begins(of, at, met);
        if (!mysql_leaves(of, met))
            of->bytes[at] = of->fill;
    }
    of->index++;
    if (of->index >= 4 && of->index == of->total) {
        next_frame(of, at + 1);
        of->sequence += of->part == TALK_CLIENT ? 0 : 1;
    }
    return 0;
}

__attribute__((noinline)) int mask_mysql(struct masking *of)
{
    __u32 bytes, at, length;
    int talk;

    if (!of || !FRAMES)
        return 0;
    bytes = of->head.captured;
    if (bytes < 5)
        return 0;
    length = byte_at(of, 0) | byte_at(of, 1) << 8 | byte_at(of, 2) << 16;
    talk = mysql_talk(of, length);
    if (talk < 0)
        return 0;
    next_frame(of, 0);
    of->part = talk;
    of->sequence = byte_at(of, 3);
    switch (follow(of, mysql_step)) {
    case INVALID:
        return 0;
    case ENDS:
        return of->line;
    default:
        at = bytes < MIDDLE ? bytes : MIDDLE;
    }
    if (bytes == of->head.length && of->index && (of->index < 4 || of->part != TALK_SERVER))
        return 0;
    return whole_frames(of, at, 5);
}

/* ---- Redis: lines and strings of a length ---- */

enum redis {
    REDIS_SIGN,   /* before a line */
    REDIS_NUMBER, /* a length, or how many follow */
    REDIS_TEXT,   /* what a line says */
    REDIS_ERROR,  /* its first word */
    REDIS_END,    /* behind a CR */
    REDIS_STRING,
};

#include "commands.h"

/* Whether the string that begins here names a command. */
static __always_inline int is_command(const struct masking *of, __u32 at, __u32 length)
{
    __u32 name = 0x811c9dc5;

    if (!length || length > 16)
        return 0;
    for (__u32 more = 0; more < 16; more++) {
        __u32 met = byte_at(of, at + more);

        if (more >= length)
            break;
        if (met >= 'a' && met <= 'z')
            met &= ~0x20;
        name = (name ^ met) * 0x01000193;
    }
    return is_command_name(name);
}

static long redis_step(__u32 at, struct walk *walk)
{
    struct masking *of = walk->of;
    __u8 met;

    if (!of || at >= MIDDLE)
        return 1;
    met = of->bytes[at];
    switch (of->part) {
    case REDIS_SIGN:
        of->line = at;
        of->number = 0;
        of->sequence = met;
        of->fill = 'x';
        of->part = REDIS_NUMBER;
        if (met == '+' || met == '(' || met == ':' || met == ',' || met == '#' || met == '_') {
            of->part = REDIS_TEXT;
            of->fill = met == '+' ? 'x' : met == '#' ? 'f' : '0';
        } else if (met == '-') {
            of->part = REDIS_ERROR;
        } else if (met != '$' && met != '*' && met != '%' && met != '~' && met != '>' && met != '|' && met != '!'
                   && met != '=') {
            return stop(of, INVALID);
        }
        break;
    case REDIS_NUMBER:
        if (met == '\r')
            of->part = REDIS_END;
        else if (met == '-' && at == of->line + 1)
            of->sequence = '_'; /* nothing */
        else if (met < '0' || met > '9' || at > of->line + 9)
            return stop(of, INVALID);
        else
            of->number = of->number * 10 + (met - '0');
        break;
    case REDIS_ERROR:
        if (met < ' ' && met != '\r')
            return stop(of, INVALID);
        if ((met < 'A' || met > 'Z') && met != '\r') {
            of->part = REDIS_TEXT;
            if (met != ' ')
                of->bytes[at] = 'x';
        } else if (met == '\r') {
            of->part = REDIS_END;
        }
        break;
    case REDIS_TEXT:
        if (met == '\r')
            of->part = REDIS_END;
        else if (met < ' ')
            return stop(of, INVALID);
        else
            of->bytes[at] = of->fill;
        break;
    case REDIS_END:
        if (met != '\n')
            return stop(of, INVALID);
        of->part = REDIS_SIGN;
        if (of->sequence == '*') {
            of->total = of->number;
            of->allowed = 1;
        } else if (of->sequence == '$' || of->sequence == '=' || of->sequence == '!') {
            of->part = REDIS_STRING;
            of->index = 0;
            of->allowed = of->allowed == 1 && of->sequence == '$' && is_command(of, at + 1, of->number) ? 2 : 0;
        } else {
            of->allowed = 0;
        }
        break;
    case REDIS_STRING:
        if (of->index < of->number) {
            if (of->allowed != 2)
                of->bytes[at] = 'x';
            of->index++;
        } else if (met == '\r') {
            of->allowed = 0;
            of->sequence = 0;
            of->part = REDIS_END;
        } else {
            return stop(of, INVALID);
        }
    }
    return 0;
}

__attribute__((noinline)) int mask_redis(struct masking *of)
{
    __u32 bytes, at;

    if (!of || !FRAMES)
        return 0;
    bytes = of->head.captured;
    if (bytes < 4)
        return 0;
    next_frame(of, 0);
    of->part = REDIS_SIGN;
    of->total = 0; /* the next string is the first of a command */
    switch (follow(of, redis_step)) {
    case INVALID:
        return 0;
    case ENDS:
        return of->line;
    default:
        at = bytes < MIDDLE ? bytes : MIDDLE;
    }
    /* What is all there must end; else a line that is cut is left out. */
    if (of->part == REDIS_SIGN || of->part == REDIS_STRING)
        return at;
    return bytes == of->head.length ? 0 : of->line;
}

/* ---- Kafka: a length, and a number that an answer has as well ---- */

/* What a request has in front of its client's name, the length of that name included. */
#define KAFKA_HEAD 14

static long kafka_step(__u32 at, struct walk *walk)
{
    struct masking *of = walk->of;

    if (!of || at >= MIDDLE || at >= of->kept)
        return 1;
    if (at >= KAFKA_HEAD)
        of->bytes[at] = 'x';
    return 0;
}

__attribute__((noinline)) int mask_kafka(struct masking *of)
{
    __u32 bytes, key, version, name;

    if (!of || !FRAMES)
        return 0;
    bytes = of->head.captured;
    /* One in a segment: what is in it is left out, so that behind it there is nothing to be found. */
    if (bytes < 8 || word_at(of, 0) != of->head.length - 4)
        return 0;
    key = word_at(of, 4) >> 16;
    version = word_at(of, 4) & 0xffff;
    name = word_at(of, 12) >> 16;
    if (key >= 128 || version >= 32 || bytes < KAFKA_HEAD || (name != 0xffff && name > bytes - KAFKA_HEAD))
        return 8;
    of->kept = KAFKA_HEAD + (name == 0xffff ? 0 : name);
    follow(of, kafka_step);
    return of->kept;
}

#endif
