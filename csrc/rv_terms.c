/* Text to index terms, as `ruvllm_mcp/memory/analysis.py` describes them: words cut into their parts, common words left
 * out, endings taken off, each term named by its CRC-32. */
#include "rv.h"

#include <string.h>

enum { PART = 0xfe, WHOLE = 0xff, LONGEST_STOP = 4, LONGEST_WHOLE = 64 };

#define STOP(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
static const uint32_t stop_words[] = {
    STOP('a', 0, 0, 0),       STOP('a', 'n', 0, 0),     STOP('a', 'n', 'd', 0),   STOP('a', 'r', 'e', 0),
    STOP('a', 's', 0, 0),     STOP('a', 't', 0, 0),     STOP('b', 'e', 0, 0),     STOP('b', 'u', 't', 0),
    STOP('b', 'y', 0, 0),     STOP('f', 'o', 'r', 0),   STOP('f', 'r', 'o', 'm'), STOP('h', 'a', 's', 0),
    STOP('h', 'a', 'v', 'e'), STOP('i', 'n', 0, 0),     STOP('i', 's', 0, 0),     STOP('i', 't', 0, 0),
    STOP('i', 't', 's', 0),   STOP('o', 'f', 0, 0),     STOP('o', 'n', 0, 0),     STOP('o', 'r', 0, 0),
    STOP('t', 'h', 'a', 't'), STOP('t', 'h', 'e', 0),   STOP('t', 'h', 'i', 's'), STOP('t', 'o', 0, 0),
    STOP('w', 'a', 's', 0),   STOP('w', 'i', 't', 'h'),
};

static uint32_t crc_table[256];

__attribute__((constructor)) static void fill_crc_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        crc_table[byte] = crc;
    }
}

static int is_upper(uint8_t c) { return c >= 'A' && c <= 'Z'; }
static int is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static int is_alnum(uint8_t c) { return is_upper(c) || is_lower(c) || is_digit(c); }
static int is_joiner(uint8_t c) { return c == '_' || c == '\'' || c == '.' || c == '-'; }
static uint8_t lower(uint8_t c) { return is_upper(c) ? c | 0x20 : c; }

/* Goes on from `crc`, 0 at first, as zlib's function does. */
static uint32_t crc32_of(uint32_t crc, const uint8_t *text, size_t n) {
    crc = ~crc;
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ crc_table[(crc ^ lower(text[i])) & 0xff];
    return ~crc;
}

static int is_stop_word(const uint8_t *part, size_t n) {
    if (n > LONGEST_STOP) return 0;
    uint32_t word = 0;
    for (size_t i = 0; i < n; i++) word |= (uint32_t)lower(part[i]) << 8 * i;
    int found = 0;
    for (size_t i = 0; i < sizeof stop_words / sizeof *stop_words; i++) found |= word == stop_words[i];
    return found;
}

/* Whether there are more than `least` characters of UTF-8. */
static int is_longer(const uint8_t *text, size_t n, size_t least) {
    size_t characters = 0;
    for (size_t i = 0; i < n && characters <= least; i++) characters += (text[i] & 0xc0) != 0x80;
    return characters > least;
}

static int ends_with(const uint8_t *text, size_t n, const char *ending, size_t length) {
    if (n < length) return 0;
    for (size_t i = 0; i < length; i++)
        if (lower(text[n - length + i]) != (uint8_t)ending[i]) return 0;
    return 1;
}

static int has_vowel(const uint8_t *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memchr("aeiouy", lower(text[i]), 6)) return 1;
    return 0;
}

/* `n` less one of two equal characters at the end, unless they are l, s or z. */
static size_t undoubled(const uint8_t *text, size_t n) {
    size_t size = 1;
    while (size < n && (text[n - size] & 0xc0) == 0x80) size++;
    if (n < 2 * size || memchr("lsz", lower(text[n - 1]), 3)) return n;
    for (size_t i = 1; i <= size; i++)
        if (lower(text[n - i]) != lower(text[n - size - i])) return n;
    return n - size;
}

/* A part's stem: Harman's S-stemmer, then -ing and -ed where a stem with a vowel remains, then a last -e. */
static uint32_t stem_id(const uint8_t *part, size_t n) {
    if (ends_with(part, n, "ies", 3) && is_longer(part, n, 4))
        return crc32_of(crc32_of(0, part, n - 3), (const uint8_t *)"y", 1);
    if (ends_with(part, n, "s", 1) && is_longer(part, n, 3) && !memchr("us", lower(part[n - 2]), 2)) n--;
    const size_t ending = ends_with(part, n, "ing", 3) ? 3 : ends_with(part, n, "ed", 2) ? 2 : 0;
    if (ending && is_longer(part, n - ending, 2) && has_vowel(part, n - ending)) {
        n -= ending;
        if (is_longer(part, n, 3)) n = undoubled(part, n);
    }
    return crc32_of(0, part, ends_with(part, n, "e", 1) && is_longer(part, n, 4) ? n - 1 : n);
}

static size_t run_of(int (*is_member)(uint8_t), const uint8_t *text, size_t n) {
    size_t size = 0;
    while (size < n && is_member(text[size])) size++;
    return size;
}

/* The length of the part that begins at an alphanumeric: digits; lower-case letters, one capital before them; capitals,
 * without the last where lower-case letters follow it. */
static size_t part_length(const uint8_t *text, size_t n) {
    if (is_digit(*text)) return run_of(is_digit, text, n);
    if (is_lower(*text)) return run_of(is_lower, text, n);
    const size_t capitals = run_of(is_upper, text, n), small = run_of(is_lower, text + capitals, n - capitals);
    if (!small) return capitals;
    return capitals > 1 ? capitals - 1 : 1 + small;
}

/* Writes the terms of the word that begins at an alphanumeric, adds how many there are, returns the word's length. */
static size_t word_terms(const uint8_t *text, size_t n, uint32_t *ids, size_t *count) {
    size_t at = 0, parts = 0, whole = 0;
    uint32_t whole_crc = 0;
    while (at < n && (is_alnum(text[at]) || (is_joiner(text[at]) && at + 1 < n && is_alnum(text[at + 1])))) {
        if (is_joiner(text[at])) at++;
        const size_t length = part_length(text + at, n - at);
        const size_t taken = length < LONGEST_WHOLE - whole ? length : LONGEST_WHOLE - whole;
        whole_crc = crc32_of(whole_crc, text + at, taken);
        whole += taken;
        parts++;
        if (!is_stop_word(text + at, length)) ids[(*count)++] = stem_id(text + at, length);
        at += length;
    }
    if (parts > 1) ids[(*count)++] = whole_crc;
    return at;
}

size_t rv_terms(const uint8_t *text, size_t bytes, uint32_t *ids) {
    size_t count = 0, at = 0;
    while (at < bytes) {
        if (is_alnum(text[at])) {
            at += word_terms(text + at, bytes - at, ids, &count);
            continue;
        }
        const uint8_t mark = text[at++];
        if (mark < PART) continue;
        const size_t start = at;
        while (at < bytes && text[at] > ' ' && text[at] < PART) at++;
        if (mark == WHOLE) ids[count++] = crc32_of(0, text + start, at - start);
        else if (!is_stop_word(text + start, at - start)) ids[count++] = stem_id(text + start, at - start);
    }
    return count;
}

size_t rv_count_terms(uint32_t *ids, size_t count, uint16_t *often, uint32_t *slots, size_t slot_count) {
    size_t distinct = 0;
    memset(slots, 0, slot_count * sizeof *slots);
    for (size_t i = 0; i < count; i++) {
        const uint32_t mixed = ids[i] * 0x9e3779b1u;
        const size_t step = mixed >> 16 | 1; /* odd, so that it leads to every slot; its own for like ids */
        size_t slot = mixed & (slot_count - 1);
        while (slots[slot] && ids[slots[slot] - 1] != ids[i]) slot = (slot + step) & (slot_count - 1);
        if (!slots[slot]) {
            ids[distinct] = ids[i];
            often[distinct] = 0;
            slots[slot] = (uint32_t)++distinct;
        }
        often[slots[slot] - 1] += often[slots[slot] - 1] < UINT16_MAX;
    }
    return distinct;
}
