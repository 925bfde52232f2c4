/* Index terms: that nothing is read past a text or written past its terms, whatever the bytes, and what they are for some
 * words written out; the Python tests compare them with an analysis of their own. */
#include "check.h"

#include <string.h>

enum { BYTES = 200, TEXTS = 3000, SLOT_COUNT = 1024 };

static uint32_t crc32_of(const char *text) {
    uint32_t crc = ~0u;
    for (; *text; text++)
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc ^ (uint32_t)(uint8_t)*text >> bit) & 1 ? 0xedb88320u : 0);
    return ~crc;
}

static void expect_terms(const char *text, const char *const *want) {
    uint32_t ids[BYTES * 3 / 2];
    const size_t count = rv_terms((const uint8_t *)text, strlen(text), ids);
    size_t wanted = 0;
    while (want[wanted]) wanted++;
    expect("terms", (double)count, (double)wanted, 0);
    for (size_t i = 0; i < count && i < wanted; i++) expect("terms", ids[i], crc32_of(want[i]), 0);
}

void check_terms(void) {
    expect_terms("parseHTTPHeader's THE 42nd", (const char *[]){"pars", "http", "header", "s", "parsehttpheaders", "42",
                                                              "nd", "42nd", NULL});
    expect_terms("stories tested stopping glass _x_", (const char *[]){"story", "test", "stop", "glass", "x", NULL});
    expect_terms("\xfe\xc3\xa9t\xc3\xa9s\xffthes \xfethe", (const char *[]){"\xc3\xa9t\xc3\xa9", "thes", NULL});
    for (size_t n = 0; n < TEXTS; n++) {
        static const char bytes[] = "aAbBsSeEdDiInNgG09_'.- \n\xfe\xff\xc3\xa9";
        const size_t size = random_bits() % BYTES;
        uint8_t *text = placed(0, size, 1, AT_END);
        for (size_t i = 0; i < size; i++)
            text[i] = (uint8_t)(n % 3 ? (size_t)bytes[random_bits() % (sizeof bytes - 1)] : random_bits());
        const size_t room = size * 3 / 2;
        uint32_t *ids = placed(1, room * sizeof *ids, sizeof *ids, AT_END);
        const size_t count = rv_terms(text, size, ids);
        if (count > room) fail("terms", "%zu bytes have %zu terms", size, count);
        uint32_t *slots = placed(2, SLOT_COUNT * sizeof *slots, sizeof *slots, AT_END);
        uint16_t *often = placed(3, count * sizeof *often, sizeof *often, AT_END);
        const size_t distinct = rv_count_terms(ids, count, often, slots, SLOT_COUNT);
        size_t sum = 0;
        for (size_t i = 0; i < distinct; i++) sum += often[i];
        expect("terms", (double)sum, (double)count, 0);
    }
    report("terms");
}
