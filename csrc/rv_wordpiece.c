/* BERT's uncased tokenizer: UTF-8 text to ids of word pieces, as Hugging Face `tokenizers` gives them.
 *
 * Each character is dropped, ends a word, or becomes one, two or three characters of a word (rv_wordpiece_unicode.h); a
 * finished word is cut greedily into the longest pieces. Pieces lie in one hash table whose hash grows byte by byte, so
 * the hashes of all prefixes of what is left of a word come from one walk, longest looked up first. Nothing is
 * allocated: the vocabulary lives in memory the caller gives, and points into the caller's strings. */
#include "rv.h"

#include <string.h>

enum { DROP, SPACE, HANGUL, KIND_PAIR, KIND_LETTER, KIND_LETTER_IS, KIND_MARK, KIND_MARK_IS };
#define PAIR(i) ((i) * 8 + KIND_PAIR)
#define LETTER(d) ((d) * 8 + KIND_LETTER)
#define LETTER_IS(c) ((c) * 8 + KIND_LETTER_IS)
#define MARK(d) ((d) * 8 + KIND_MARK)
#define MARK_IS(c) ((c) * 8 + KIND_MARK_IS)
#include "rv_wordpiece_unicode.h"

enum { LONGEST_WORD = 100, LONGEST_PIECE = 255, SPECIALS = 5, UNK = 1, MARKER_BYTES = 3 };
static const char marker[] = "\xe2\x96\x81"; /* U+2581 before a piece that begins a word */
static const char *const specials[SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

struct piece {
    uint32_t hash, id, at; /* `at`: where its text begins in `strings`; id and at only where length > 0 */
    uint16_t length, begins;
};

struct vocabulary {
    const uint8_t *strings;
    uint32_t slots, longest;
    int32_t special_ids[SPECIALS];
    int32_t ascii[128];
    struct piece pieces[];
};

static uint32_t slots_for(size_t pieces) {
    uint32_t slots = 64;
    while (slots < 2 * pieces) slots *= 2;
    return slots;
}

size_t rv_wordpiece_size(size_t pieces) {
    return sizeof(struct vocabulary) + slots_for(pieces) * sizeof(struct piece);
}

/* Words begin from one hash, the rest of a word from another. */
static uint32_t hash_start(int begins) { return begins ? 0x811c9dc5u : 0x050c5d1fu; }
static uint32_t hash_step(uint32_t hash, uint8_t byte) { return (hash ^ byte) * 0x9e3779b1u; }
static uint32_t slot_of(uint32_t hash, uint32_t slots) { return (hash ^ hash >> 15) & (slots - 1); }

static const struct piece *find(const struct vocabulary *v, uint32_t hash, int begins, const uint8_t *text, size_t n) {
    for (uint32_t i = slot_of(hash, v->slots);; i = (i + 1) & (v->slots - 1)) {
        const struct piece *p = &v->pieces[i];
        if (!p->length) return NULL;
        if (p->hash == hash && p->length == n && p->begins == begins && !memcmp(v->strings + p->at, text, n)) return p;
    }
}

static void insert(struct vocabulary *v, uint32_t at, size_t n, int begins, uint32_t id) {
    const uint8_t *text = v->strings + at;
    uint32_t hash = hash_start(begins);
    for (size_t i = 0; i < n; i++) hash = hash_step(hash, text[i]);
    if (find(v, hash, begins, text, n)) return;
    uint32_t i = slot_of(hash, v->slots);
    while (v->pieces[i].length) i = (i + 1) & (v->slots - 1);
    v->pieces[i] = (struct piece){hash, id, at, (uint16_t)n, (uint16_t)begins};
    if (n > v->longest) v->longest = (uint32_t)n;
}

static int32_t action_of(uint32_t c) {
    size_t low = 0, high = sizeof rv_unicode_runs / sizeof *rv_unicode_runs;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (rv_unicode_runs[middle].from <= c) low = middle;
        else high = middle;
    }
    return rv_unicode_runs[low].action;
}

int rv_wordpiece_build(void *memory, const uint8_t *strings, size_t bytes, size_t pieces) {
    struct vocabulary *v = memory;
    if (bytes > UINT32_MAX) return 0;
    memset(v, 0, rv_wordpiece_size(pieces));
    v->strings = strings;
    v->slots = slots_for(pieces);
    for (uint32_t c = 0; c < 128; c++) v->ascii[c] = action_of(c);
    unsigned found = 0;
    size_t at = 0;
    for (size_t id = 0; id < pieces; id++) {
        uint64_t n;
        if (bytes - at < sizeof n) return 0;
        memcpy(&n, strings + at, sizeof n);
        at += sizeof n;
        if (n > bytes - at) return 0;
        const uint8_t *text = strings + at;
        if (n > 1 && text[0] == '[' && text[n - 1] == ']') {
            for (unsigned s = 0; s < SPECIALS; s++)
                if (n == strlen(specials[s]) && !memcmp(text, specials[s], n)) {
                    v->special_ids[s] = (int32_t)id;
                    found |= 1u << s;
                }
        } else if (n > 0 && n <= LONGEST_PIECE) {
            const int begins = n > MARKER_BYTES && !memcmp(text, marker, MARKER_BYTES);
            const size_t skip = begins ? MARKER_BYTES : 0;
            insert(v, (uint32_t)(at + skip), n - skip, begins, (uint32_t)id);
        }
        at += n;
    }
    return found == (1u << SPECIALS) - 1;
}

struct word {
    size_t bytes, characters;
    uint8_t text[4 * LONGEST_WORD];
};

/* Cuts the word into pieces at `ids` and empties it; returns how many. */
static size_t finish(const struct vocabulary *v, struct word *word, int32_t *ids) {
    const size_t bytes = word->bytes, characters = word->characters;
    word->bytes = word->characters = 0;
    if (!characters) return 0;
    size_t count = 0, at = 0;
    while (at < bytes && characters <= LONGEST_WORD) {
        uint32_t hashes[LONGEST_PIECE + 1];
        const size_t left = bytes - at, most = left < v->longest ? left : v->longest;
        hashes[0] = hash_start(at == 0);
        for (size_t n = 0; n < most; n++) hashes[n + 1] = hash_step(hashes[n], word->text[at + n]);
        const struct piece *p = NULL;
        size_t n = most;
        while (n > 0 && !(p = find(v, hashes[n], at == 0, word->text + at, n))) n--;
        if (!p) break;
        ids[count++] = (int32_t)p->id;
        at += n;
    }
    if (at == bytes) return count;
    ids[0] = v->special_ids[UNK];
    return 1;
}

static void append(struct word *word, uint32_t c) {
    if (++word->characters > LONGEST_WORD) return;
    uint8_t *to = word->text + word->bytes;
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        word->bytes += 1;
    } else if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 63));
        word->bytes += 2;
    } else if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        to[2] = (uint8_t)(0x80 | (c & 63));
        word->bytes += 3;
    } else {
        to[0] = (uint8_t)(0xf0 | c >> 18);
        to[1] = (uint8_t)(0x80 | (c >> 12 & 63));
        to[2] = (uint8_t)(0x80 | (c >> 6 & 63));
        to[3] = (uint8_t)(0x80 | (c & 63));
        word->bytes += 4;
    }
}

static void append_syllable(struct word *word, uint32_t c) {
    const uint32_t index = c - 0xac00;
    append(word, 0x1100 + index / 588);
    append(word, 0x1161 + index % 588 / 28);
    if (index % 28) append(word, 0x11a7 + index % 28);
}

/* The character at `text` and its length; bytes that are no UTF-8 count as U+FFFD, one each. */
static uint32_t decode(const uint8_t *text, size_t left, size_t *length) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t first = text[0];
    const size_t n = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    *length = 1;
    if (n == 1) return first;
    if (first < 0xc2 || first > 0xf4 || n > left) return 0xfffd;
    uint32_t c = first & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0xfffd;
        c = c << 6 | (text[i] & 63);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0xfffd;
    *length = n;
    return c;
}

static size_t encode(const struct vocabulary *v, const uint8_t *text, size_t bytes, int32_t *ids) {
    struct word word = {0};
    size_t count = 0, length = 1;
    for (size_t at = 0; at < bytes; at += length) {
        const uint32_t c = decode(text + at, bytes - at, &length);
        if (c == '[') {
            unsigned s = 0;
            while (s < SPECIALS && (strlen(specials[s]) > bytes - at ||
                                    memcmp(text + at, specials[s], strlen(specials[s]))))
                s++;
            if (s < SPECIALS) {
                count += finish(v, &word, ids + count);
                ids[count++] = v->special_ids[s];
                length = strlen(specials[s]);
                continue;
            }
        }
        const int32_t action = c < 128 ? v->ascii[c] : action_of(c);
        const int kind = action & 7;
        const uint32_t number = (uint32_t)((action - kind) / 8);
        const int is_mark = kind == KIND_MARK || kind == KIND_MARK_IS;
        if (kind == SPACE || is_mark) count += finish(v, &word, ids + count);
        if (kind == HANGUL) append_syllable(&word, c);
        if (kind == KIND_PAIR) append(&word, rv_unicode_pairs[number][0]), append(&word, rv_unicode_pairs[number][1]);
        if (kind == KIND_LETTER || kind == KIND_MARK) append(&word, c + number);
        if (kind == KIND_LETTER_IS || kind == KIND_MARK_IS) append(&word, number);
        if (is_mark) count += finish(v, &word, ids + count);
    }
    return count + finish(v, &word, ids + count);
}

void rv_wordpiece_encode(const void *memory, const uint8_t *text, const int64_t *ends, size_t texts, int32_t *ids,
                         int64_t *id_ends) {
    int64_t start = 0, count = 0;
    for (size_t i = 0; i < texts; i++) {
        count += (int64_t)encode(memory, text + start, (size_t)(ends[i] - start), ids + count);
        start = ends[i];
        id_ends[i] = count;
    }
}
